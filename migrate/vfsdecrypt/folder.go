package vfsdecrypt

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What this program keeps in a target folder until all is done.
const (
	stateDir   = ".ss-vfsdecrypt"
	stateFile  = stateDir + "/state.json"
	lockFile   = stateDir + "/lock"
	partsDir   = stateDir + "/parts"
	stateForm  = 1
	folderMode = 0o700
	fileMode   = 0o600
)

// Files get their names when their content is on the disk, many at once: to wait for the
// disk for each would take longer than the work. What a power cut can cost is this much.
const (
	settleAfter = 5 * time.Second
	settleBytes = 1 << 30
	settleFiles = 1000
)

// sameTime is how far apart times may be that are the same: FAT counts in two seconds.
const sameTime = 2 * time.Second

var (
	// ErrTaken: the folder has something in it that is not of this program.
	ErrTaken = errors.New("the folder is not empty")
	// ErrOther: the folder was begun with another profile or source.
	ErrOther = errors.New("the folder was begun with something else")
	// ErrBusy: another run works in the folder.
	ErrBusy = errors.New("another ss-vfsdecrypt works in the folder")
)

// state says what a target folder is the target of.
type state struct {
	Format  int    `json:"format"`
	Profile string `json:"profile"`
	Source  string `json:"source"`
	// Salt and Check tell the passphrase again, and not what it is.
	Salt  []byte `json:"salt"`
	Check []byte `json:"check"`
}

// checkRounds makes it slow to guess the passphrase by its check.
const checkRounds = 50_000

// checkOf is the check of a passphrase.
func checkOf(passphrase string, salt []byte) ([]byte, error) {
	return pbkdf2.Key(sha256.New, passphrase, salt, checkRounds, sha256.Size)
}

// Folder is a target on a disk.
type Folder struct {
	root *os.Root
	dir  string
	lock *os.File
	now  func() time.Time

	parts atomic.Int64
	mu    sync.Mutex
	// waiting are written and not yet in their places, by the names of their parts.
	waiting []placed
	bytes   int64
	settled time.Time
}

// placed is a part and where it belongs.
type placed struct{ part, path string }

// Begun tells which profile a target folder was begun with; false if it is not one.
func Begun(dir string) (Profile, bool, error) {
	raw, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(stateFile)))
	if errors.Is(err, fs.ErrNotExist) {
		return Profile{}, false, nil
	}
	if err != nil {
		return Profile{}, false, fmt.Errorf("look at the target: %w", err)
	}
	s, err := parseState(raw)
	if err != nil {
		return Profile{}, false, fmt.Errorf("%s in %s: %w; remove the folder %s to begin anew in an empty folder", stateFile, dir, err, stateDir)
	}
	p, err := ParseProfile(s.Profile)
	return p, err == nil, err
}

func parseState(raw []byte) (state, error) {
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("it is damaged: %w", err)
	}
	if s.Format != stateForm {
		return s, fmt.Errorf("it is of format %d, and this program knows %d", s.Format, stateForm)
	}
	return s, nil
}

// OpenFolder begins or goes on with a target folder. It makes the folder if there is none,
// and refuses with ErrTaken, ErrOther and ErrBusy.
func OpenFolder(dir, source string, k *Keys, now func() time.Time) (*Folder, error) {
	if err := apart(dir, source); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return nil, fmt.Errorf("make the target: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the target: %w", err)
	}
	f := &Folder{root: root, dir: dir, now: now, settled: now()}
	if err := f.begin(state{Format: stateForm, Profile: k.Profile.String(), Source: absolute(source)}, k.passphrase); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// apart refuses a target in the source, or the other way round: the source is not written
// to.
func apart(dir, source string) error {
	from, to := absolute(source), absolute(dir)
	if inside(from, to) || inside(to, from) {
		return fmt.Errorf("the target %s and the source %s lie in one another; give a folder elsewhere", dir, source)
	}
	return nil
}

// absolute follows links as far as the path exists.
func absolute(dir string) string {
	full, err := filepath.Abs(dir)
	if err != nil {
		return dir
	}
	for at, rest := full, ""; ; at, rest = filepath.Dir(at), filepath.Join(filepath.Base(at), rest) {
		if real, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(real, rest)
		}
		if at == filepath.Dir(at) {
			return full
		}
	}
}

func inside(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && (rel == "." || filepath.IsLocal(rel))
}

// begin writes down what the folder is for, or compares.
func (f *Folder) begin(want state, passphrase string) error {
	raw, err := f.root.ReadFile(stateFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		want.Salt = make([]byte, 16)
		if _, err := rand.Read(want.Salt); err != nil {
			return err
		}
		if want.Check, err = checkOf(passphrase, want.Salt); err != nil {
			return fmt.Errorf("remember the passphrase: %w", err)
		}
		if err := f.mark(want); err != nil {
			return err
		}
	case err != nil:
		return fmt.Errorf("look at the target: %w", err)
	default:
		got, err := parseState(raw)
		if err != nil {
			return fmt.Errorf("%s in the target: %w", stateFile, err)
		}
		if got.Profile != want.Profile || got.Source != want.Source {
			return fmt.Errorf("%w: profile %q, source %s; go on with these, or give an empty folder", ErrOther, got.Profile, got.Source)
		}
		check, err := checkOf(passphrase, got.Salt)
		if err != nil {
			return fmt.Errorf("compare the passphrase: %w", err)
		}
		if subtle.ConstantTimeCompare(check, got.Check) != 1 {
			return fmt.Errorf("%w: another passphrase; give the one that it was begun with, or an empty folder", ErrOther)
		}
	}
	if f.lock, err = f.root.OpenFile(lockFile, os.O_CREATE|os.O_RDWR, fileMode); err != nil {
		return fmt.Errorf("lock the target: %w", err)
	}
	if err := lock(f.lock); err != nil {
		return fmt.Errorf("%w (%w)", ErrBusy, err)
	}
	// What a run left behind that was cut off.
	if err := f.root.RemoveAll(partsDir); err != nil {
		return fmt.Errorf("remove what an earlier run left: %w", err)
	}
	if err := f.root.Mkdir(partsDir, folderMode); err != nil {
		return fmt.Errorf("make the target ready: %w", err)
	}
	return nil
}

func (f *Folder) mark(want state) error {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return fmt.Errorf("look at the target: %w", err)
	}
	for _, entry := range entries {
		// A run that died before it wrote its state left nothing else.
		if entry.Name() != stateDir && entry.Name() != "lost+found" {
			return fmt.Errorf("%w: %s has %s in it, and was not begun by this program or is done; give an empty folder", ErrTaken, f.dir, entry.Name())
		}
	}
	if err := f.root.MkdirAll(stateDir, folderMode); err != nil {
		return fmt.Errorf("make the target ready: %w", err)
	}
	raw, err := json.Marshal(want)
	if err != nil {
		return err
	}
	if err := f.root.WriteFile(stateFile+".new", raw, fileMode); err != nil {
		return fmt.Errorf("mark the target: %w", err)
	}
	return f.root.Rename(stateFile+".new", stateFile)
}

// Has implements Target. The time is set before a file gets its name, and the folder has
// nothing but what this program put there.
func (f *Folder) Has(_ context.Context, file File, want Expected) (bool, error) {
	info, err := f.root.Lstat(file.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return info.Mode().IsRegular() && info.Size() >= want.Least && info.Size() <= want.Most &&
		info.ModTime().Sub(file.Modified).Abs() < sameTime, nil
}

// MakeFolder implements Target.
func (f *Folder) MakeFolder(_ context.Context, file File) error {
	if file.Path == stateDir {
		return fmt.Errorf("the name is used by this program; rename %s in the source", stateDir)
	}
	if err := f.root.Mkdir(file.Path, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Put implements Target.
func (f *Folder) Put(_ context.Context, file File, open func() (io.ReadCloser, error)) error {
	if file.Path == stateDir {
		return fmt.Errorf("the name is used by this program; rename %s in the source", stateDir)
	}
	content, err := open()
	if err != nil {
		return err
	}
	defer content.Close()
	part := path.Join(partsDir, fmt.Sprint(f.parts.Add(1)))
	n, err := f.write(part, content)
	if err == nil {
		err = f.root.Chtimes(part, file.Modified, file.Modified)
	}
	if err != nil {
		return errors.Join(err, f.root.Remove(part))
	}
	if err := f.caseOnly(file.Path); err != nil {
		return errors.Join(err, f.root.Remove(part))
	}
	return f.place(placed{part, file.Path}, n)
}

// caseOnly refuses a name for which the disk has a file under another one: where the case
// of letters makes no difference, that file would go.
func (f *Folder) caseOnly(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.ContainsFunc(f.waiting, func(p placed) bool { return strings.EqualFold(p.path, name) }) {
		if err := f.settle(); err != nil {
			return err
		}
	}
	if _, err := f.root.Lstat(name); err != nil {
		return nil // mostly: there is none
	}
	entries, err := fs.ReadDir(f.root.FS(), path.Dir(name))
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == path.Base(name) }) {
		return errors.New("another file has this name but for the case of letters, which makes no difference on the disk of the target; decrypt it to another place")
	}
	return nil
}

// write tells errors of the disk, which end the run, from those of the file.
func (f *Folder) write(part string, content io.Reader) (int64, error) {
	out, err := f.root.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return 0, Stop(err)
	}
	n, err := io.Copy(stopping{out}, content)
	if err == nil && syncEach {
		if err = out.Sync(); err != nil {
			err = Stop(err)
		}
	}
	if closed := out.Close(); err == nil && closed != nil {
		err = Stop(closed)
	}
	return n, err
}

// stopping is a writer whose errors end the run.
type stopping struct{ w io.Writer }

func (s stopping) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		err = Stop(err)
	}
	return n, err
}

func (f *Folder) place(p placed, bytes int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = append(f.waiting, p)
	f.bytes += bytes
	if len(f.waiting) < settleFiles && f.bytes < settleBytes && f.now().Sub(f.settled) < settleAfter {
		return nil
	}
	return f.settle()
}

// Settle implements Target.
func (f *Folder) Settle() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.settle()
}

func (f *Folder) settle() error {
	if len(f.waiting) > 0 && !syncEach {
		if err := f.syncAll(); err != nil {
			return Stop(fmt.Errorf("bring the files to the disk: %w", err))
		}
	}
	for len(f.waiting) > 0 {
		p := f.waiting[0]
		if err := f.root.Rename(p.part, p.path); err != nil {
			return Stop(fmt.Errorf("give %s its name: %w", p.path, err))
		}
		f.waiting = f.waiting[1:]
	}
	f.bytes, f.settled = 0, f.now()
	return nil
}

func (f *Folder) syncAll() error {
	dir, err := f.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	return syncDisk(dir)
}

// Finish removes what this program keeps in the folder: all is done, and the folder has
// nothing but the files. Close follows.
func (f *Folder) Finish() error {
	err := f.Settle()
	if err == nil {
		err = f.unlock()
	}
	if err == nil {
		err = f.root.RemoveAll(stateDir)
	}
	if err != nil {
		return fmt.Errorf("finish the target: %w", err)
	}
	return nil
}

func (f *Folder) unlock() error {
	if f.lock == nil {
		return nil
	}
	held := f.lock
	f.lock = nil
	return held.Close()
}

// Close lets go of the folder; a later run can go on.
func (f *Folder) Close() error { return errors.Join(f.unlock(), f.root.Close()) }
