// Package logfile is a file of lines that never grows without bound: beyond a size or an
// age it is set aside, compressed in the background, and the oldest ones go. It survives
// what happens to logs: a full disk (the caller is told, and no half line stays), a
// logrotate that moves the file away under us (a new one is begun), a crash at any moment
// (the next start finishes what was begun).
package logfile

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// lookEvery is how often a write looks whether the file is still in its place.
	lookEvery = time.Second
	// retryAfter is the pause after a rotation that failed; the file grows meanwhile.
	retryAfter = 10 * time.Second
	// stampForm is the moment of a rotation in a name: names sort by it.
	stampForm  = "20060102T150405.000000Z"
	zipped     = ".gz"
	unfinished = ".part"
)

// Limits bound the files. 0 means no such bound.
type Limits struct {
	// Size and Age are those beyond which a file is set aside.
	Size int64
	Age  time.Duration
	// Files is how many are kept besides the one that is written, KeepFor how long.
	Files   int
	KeepFor time.Duration
}

// File is an open log. Its methods may be called at once.
type File struct {
	path string
	now  func() time.Time

	mu     sync.Mutex
	limits Limits
	file   *os.File
	size   int64
	begun  time.Time
	looked time.Time
	// torn says that the file ends in the middle of a line; failed when a rotation did.
	torn   bool
	failed time.Time

	tidy sync.WaitGroup
	// one is held by whoever compresses and removes.
	one sync.Mutex
}

// Open opens the log at path for appending; its folder must be there. Time comes from
// outside.
func Open(path string, limits Limits, now func() time.Time) (*File, error) {
	f := &File{path: path, limits: limits, now: now}
	if err := f.open(); err != nil {
		return nil, err
	}
	f.startTidy()
	return f, nil
}

func (f *File) open() error {
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", f.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("open log: %w", err), file.Close())
	}
	f.file, f.size, f.begun = file, info.Size(), f.now()
	if f.size > 0 {
		f.begun = info.ModTime()
		last := make([]byte, 1)
		_, err := file.ReadAt(last, f.size-1)
		f.torn = err != nil || last[0] != '\n'
	} else {
		f.torn = false
	}
	return nil
}

// Write appends one or more whole lines. After an error none of them is in the log, or
// the last one is cut; the next write begins on a line of its own.
func (f *File) Write(lines []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ready(int64(len(lines))); err != nil {
		return 0, err
	}
	text := lines
	if f.torn {
		text = append([]byte{'\n'}, lines...)
	}
	n, err := f.file.Write(text)
	if err == nil {
		f.size += int64(n)
		f.torn = false
		return len(lines), nil
	}
	// What was written of the lines would be read as a damaged one.
	if f.file.Truncate(f.size) != nil {
		f.size += int64(n)
		f.torn = n > 0 || f.torn
	}
	return 0, fmt.Errorf("write log: %w", err)
}

// ready opens, reopens or rotates, whichever is due before n more bytes.
func (f *File) ready(n int64) error {
	now := f.now()
	if f.file != nil && now.Sub(f.looked) >= lookEvery {
		f.looked = now
		if !f.inPlace() {
			f.close()
		}
	}
	if f.file == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	full := f.limits.Size > 0 && f.size > 0 && f.size+n > f.limits.Size
	old := f.limits.Age > 0 && f.size > 0 && now.Sub(f.begun) >= f.limits.Age
	if !full && !old || now.Sub(f.failed) < retryAfter {
		return nil
	}
	if err := f.rotate(); err != nil {
		// A log that is too long is better than none.
		f.failed = now
		if f.file == nil {
			return err
		}
	}
	return nil
}

func (f *File) inPlace() bool {
	there, err := os.Stat(f.path)
	if err != nil {
		return false
	}
	ours, err := f.file.Stat()
	return err == nil && os.SameFile(there, ours)
}

func (f *File) close() {
	if f.file != nil {
		// What the system could not write it has told to Sync or Write before.
		_ = f.file.Close()
		f.file = nil
	}
}

// rotate sets the file aside and begins a new one. Windows renames no open file.
func (f *File) rotate() error {
	f.close()
	renamed := os.Rename(f.path, f.aside())
	if err := f.open(); err != nil {
		return errors.Join(renamed, err)
	}
	if renamed != nil {
		return fmt.Errorf("set the log aside: %w", renamed)
	}
	f.startTidy()
	return nil
}

// aside is a name that is free.
func (f *File) aside() string {
	stem, ext := f.split()
	for at := f.now().UTC(); ; at = at.Add(time.Microsecond) {
		name := stem + "-" + at.Format(stampForm) + ext
		if !exists(name) && !exists(name+zipped) {
			return name
		}
	}
}

func (f *File) split() (stem, ext string) {
	ext = filepath.Ext(f.path)
	return strings.TrimSuffix(f.path, ext), ext
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Rotate sets the file aside now, if there is anything in it.
func (f *File) Rotate() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil || f.size == 0 {
		return nil
	}
	return f.rotate()
}

// Reopen begins the file at its path again: somebody has moved it away.
func (f *File) Reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.close()
	return f.open()
}

// SetLimits bounds the files from now on.
func (f *File) SetLimits(limits Limits) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limits = limits
	f.startTidy()
}

// Sync puts what was written on disk.
func (f *File) Sync() error {
	f.mu.Lock()
	file := f.file
	f.mu.Unlock()
	if file == nil {
		return nil
	}
	if err := file.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("sync log: %w", err)
	}
	return nil
}

// Close syncs and closes the file and waits for the compression under way.
func (f *File) Close() error {
	err := f.Sync()
	f.mu.Lock()
	f.close()
	f.mu.Unlock()
	f.tidy.Wait()
	return err
}

// startTidy compresses and removes in the background; what fails is done next time.
func (f *File) startTidy() {
	limits, now := f.limits, f.now()
	f.tidy.Go(func() {
		f.one.Lock()
		defer f.one.Unlock()
		set, err := Set(f.path)
		if err != nil {
			return
		}
		for _, path := range excess(set[:max(0, len(set)-1)], limits, now) {
			_ = os.Remove(path)
		}
		for _, path := range set {
			if path != f.path && !strings.HasSuffix(path, zipped) && exists(path) {
				_ = compress(path)
			}
		}
	})
}

// excess are the files that the limits have no room for; set is in order of age.
func excess(set []string, limits Limits, now time.Time) []string {
	n := 0
	if limits.Files > 0 {
		n = max(0, len(set)-limits.Files)
	}
	for limits.KeepFor > 0 && n < len(set) {
		info, err := os.Stat(set[n])
		if err != nil || now.Sub(info.ModTime()) < limits.KeepFor {
			break
		}
		n++
	}
	return set[:n]
}

// compress makes path.gz of path. Cut anywhere, the next start does it again.
func compress(path string) (err error) {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	part := path + zipped + unfinished
	out, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(out)
	_, err = io.Copy(z, in)
	if err = errors.Join(err, z.Close(), out.Sync(), out.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	// Its age is that of its last line.
	if err := errors.Join(os.Chtimes(part, info.ModTime(), info.ModTime()), os.Rename(part, path+zipped)); err != nil {
		return err
	}
	in.Close()
	return os.Remove(path)
}

// Set lists the files of the log at path, the oldest first, the one that is written last.
// A file that is there plain and compressed is listed once.
func Set(path string) ([]string, error) {
	f := File{path: path}
	stem, ext := f.split()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	var set []string
	for _, e := range entries {
		name := filepath.Join(filepath.Dir(path), e.Name())
		stamp, ok := strings.CutPrefix(strings.TrimSuffix(name, zipped), stem+"-")
		if stamp, ok2 := strings.CutSuffix(stamp, ext); ok && ok2 && e.Type().IsRegular() {
			if _, err := time.Parse(stampForm, stamp); err == nil {
				set = append(set, name)
			}
		}
	}
	slices.Sort(set)
	set = slices.CompactFunc(set, func(a, b string) bool { return a+zipped == b })
	if exists(path) {
		set = append(set, path)
	}
	return set, nil
}

// Reader opens one file of a Set, compressed or not. One that was compressed since it was
// listed is found.
func Reader(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && !strings.HasSuffix(path, zipped) {
		path += zipped
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(path, zipped) {
		return f, nil
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read log %s: %w", path, err), f.Close())
	}
	return &zippedFile{z, f}, nil
}

type zippedFile struct {
	*gzip.Reader
	file *os.File
}

// Close implements io.Closer.
func (z *zippedFile) Close() error { return errors.Join(z.Reader.Close(), z.file.Close()) }
