// Package support writes the archive that goes to support: texts about a machine,
// each redacted and of bounded size. It is made for a broken machine, so a text
// that cannot be had is named in errors.txt and the rest is there all the same.
//
// The package knows no product: what goes in is the caller's list.
package support

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path"
	"time"
)

// The bounds of an archive, before compression.
const (
	MaxSource = 2 << 20
	MaxTotal  = 48 << 20
)

// patience is how long one source may take.
const patience = 20 * time.Second

// Source is one text that goes in.
type Source struct {
	// Name is its path in the archive.
	Name string
	// Read brings it; ctx ends when it takes too long.
	Read func(ctx context.Context) ([]byte, error)
}

// Summary is what went into an archive.
type Summary struct {
	Files  int
	Errors []string
}

// Write writes the sources below a folder called top, as .tar.gz.
func Write(ctx context.Context, w io.Writer, top string, r *Redactor, sources []Source, now time.Time) (Summary, error) {
	zip := gzip.NewWriter(w)
	a := &archive{tar: tar.NewWriter(zip), top: top, now: now}
	var sum Summary
	for _, s := range sources {
		if ctx.Err() != nil {
			return sum, context.Cause(ctx)
		}
		text, err := read(ctx, s)
		if err != nil {
			sum.Errors = append(sum.Errors, fmt.Sprintf("%s: %v", s.Name, err))
		}
		if len(text) == 0 {
			continue
		}
		text = r.Redact(Tail(text))
		if a.size+int64(len(text)) > MaxTotal {
			sum.Errors = append(sum.Errors, fmt.Sprintf("%s: left out, the archive is large enough", s.Name))
			continue
		}
		if err := a.add(s.Name, text); err != nil {
			return sum, err
		}
		sum.Files++
	}
	if len(sum.Errors) > 0 {
		var list bytes.Buffer
		for _, e := range sum.Errors {
			fmt.Fprintln(&list, e)
		}
		if err := a.add("errors.txt", r.Redact(list.Bytes())); err != nil {
			return sum, err
		}
		sum.Files++
	}
	return sum, errors.Join(a.tar.Close(), zip.Close())
}

// read bounds how long a source takes, even one that does not listen to ctx: a
// file on a dead network disk.
func read(ctx context.Context, s Source) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- result{err: fmt.Errorf("failed: %v", p)}
			}
		}()
		text, err := s.Read(ctx)
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		return r.text, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("not read within %s: %w", patience, ctx.Err())
	}
}

// cut tells the reader that a text does not begin at its beginning.
const cut = "[the beginning is left out]\n"

// Tail is the end of a text that is too long: what happened last counts most. It
// begins at the beginning of a line.
func Tail(text []byte) []byte {
	if len(text) <= MaxSource {
		return text
	}
	text = text[len(text)-MaxSource:]
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	return append([]byte(cut), text...)
}

type archive struct {
	tar  *tar.Writer
	top  string
	now  time.Time
	size int64
}

func (a *archive) add(name string, text []byte) error {
	err := a.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: path.Join(a.top, name), Mode: 0o600, Size: int64(len(text)), ModTime: a.now.Truncate(time.Second),
	})
	if err == nil {
		_, err = a.tar.Write(text)
	}
	if err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	a.size += int64(len(text))
	return nil
}

// File is the end of a file as a source. A link, a pipe or a device is none: it
// may lead anywhere.
func File(name, file string) Source {
	return Source{name, func(context.Context) ([]byte, error) { return readFile(file) }}
}

func readFile(file string) ([]byte, error) {
	f, err := openFile(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", file)
	}
	// One byte more, so that Tail sees that something is missing. Files of the
	// kernel have no size and are read from the beginning.
	if from := info.Size() - MaxSource - 1; from > 0 {
		if _, err := f.Seek(from, io.SeekStart); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(io.LimitReader(f, MaxSource+1))
}

// Optional is a source whose absence says nothing: no error is noted for it.
func Optional(s Source) Source {
	return Source{s.Name, func(ctx context.Context) ([]byte, error) {
		text, err := s.Read(ctx)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
			err = nil
		}
		return text, err
	}}
}

// Command is what a program prints, on both its outputs, as a source. That it
// fails says something too: what it printed goes in.
func Command(name string, argv ...string) Source {
	return Source{name, func(ctx context.Context) ([]byte, error) {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.WaitDelay = time.Second
		out := &limited{}
		cmd.Stdout, cmd.Stderr = out, out
		err := cmd.Run()
		if _, ended := errors.AsType[*exec.ExitError](err); ended && len(out.text) > 0 {
			err = nil
		}
		return out.text, err
	}}
}

// limited keeps the end of what is written to it.
type limited struct{ text []byte }

func (l *limited) Write(p []byte) (int, error) {
	l.text = append(l.text, p...)
	if over := len(l.text) - 2*MaxSource; over > 0 {
		l.text = append(l.text[:0], l.text[len(l.text)-MaxSource-1:]...)
	}
	return len(p), nil
}
