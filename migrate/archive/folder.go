package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// maxDepth bounds how deep a folder is looked through.
const maxDepth = 12

// openFolder opens a folder as if its files were packed. Nothing is read before List or
// Lookup: the folder may be the root of a machine.
func openFolder(name string) (*File, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("open the folder: %w", err)
	}
	return &File{Name: name, Zip: true, root: root, closer: root}, nil
}

// IsFolder tells a folder from an archive or a file. Entries of a folder are there after
// List.
func (f *File) IsFolder() bool { return f.root != nil }

// List finds the files below a folder. Links are passed over, as are pipes and devices.
func (f *File) List() error {
	if f.root == nil || f.Entries != nil {
		return nil
	}
	var size int64
	err := fs.WalkDir(f.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("look through the folder: %w", err)
		case d.IsDir() && strings.Count(name, "/") >= maxDepth:
			return fmt.Errorf("%w: the folder %.80q lies more than %d folders deep; give the folder of the configuration alone", ErrHostile, name, maxDepth)
		case d.IsDir() || !d.Type().IsRegular():
			return nil
		case len(f.Entries) == maxEntries:
			return fmt.Errorf("%w: the folder has more than %d files; give the folder of the configuration alone", ErrHostile, maxEntries)
		}
		info, err := d.Info()
		if err != nil {
			return fmt.Errorf("look through the folder: %w", err)
		}
		if size += info.Size(); info.Size() > MaxUnfolded || size > MaxUnfolded {
			return fmt.Errorf("%w: the files of the folder have more than %d bytes; give the folder of the configuration alone", ErrHostile, int64(MaxUnfolded))
		}
		f.Entries = append(f.Entries, f.inFolder(name, info))
		return nil
	})
	switch {
	case err != nil:
		f.Entries = nil
		return err
	case len(f.Entries) == 0:
		return fmt.Errorf("%w: there is no file in the folder", ErrNotBackup)
	case isOwn(f):
		return fmt.Errorf("%w, unpacked; pack it again as it was, or give the file itself, and restore it with: ss-server restore FILE", ErrOwn)
	}
	return nil
}

func (f *File) inFolder(name string, info fs.FileInfo) *Entry {
	return &Entry{Name: name, Size: info.Size(), Mode: info.Mode(), open: func() (io.ReadCloser, error) {
		// A pipe that somebody put there must not hold up who opens it.
		file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return nil, fmt.Errorf("open a file of the folder: %w", err)
		}
		info, err := file.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("%w: %s is not a file", ErrHostile, name)
		}
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		return &atMost{file, info.Size()}, nil
	}}
}

// atMost reads a file that may grow meanwhile up to the size that it had.
type atMost struct {
	*os.File
	left int64
}

// Read implements io.Reader.
func (a *atMost) Read(p []byte) (int, error) {
	if a.left <= 0 {
		return 0, io.EOF
	}
	n, err := a.File.Read(p[:min(int64(len(p)), a.left)])
	a.left -= int64(n)
	return n, err
}

// Lookup is the file of a name; nil if there is none. In a folder links are followed as on
// the machine whose root it is: one that is absolute begins at the folder.
func (f *File) Lookup(name string) *Entry {
	if f.root == nil {
		at := slices.IndexFunc(f.Entries, func(e *Entry) bool { return e.Name == name })
		if at < 0 {
			return nil
		}
		return f.Entries[at]
	}
	name, ok := f.resolve(name)
	if !ok {
		return nil
	}
	info, err := f.root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > MaxUnfolded {
		return nil
	}
	return f.inFolder(name, info)
}

// maxLinks bounds the links on the way to a file, as Linux does.
const maxLinks = 40

// resolve follows the links on the way to a name. The folder opens what comes out, and
// would refuse what leads out of it.
func (f *File) resolve(name string) (string, bool) {
	at, links := ".", 0
	rest := strings.Split(name, "/")
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		info, err := f.root.Lstat(next)
		if err != nil {
			return "", false
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		target, err := f.root.Readlink(next)
		if links++; err != nil || links > maxLinks {
			return "", false
		}
		target = filepath.ToSlash(target)
		if strings.HasPrefix(target, "/") {
			at = "."
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return at, true
}

// Names are the files that lie in a folder of the archive, in their order; folders are
// not among them.
func (f *File) Names(folder string) []string {
	var out []string
	if f.root == nil {
		for _, e := range f.Entries {
			if path.Dir(e.Name) == folder {
				out = append(out, path.Base(e.Name))
			}
		}
		slices.Sort(out)
		return out
	}
	folder, ok := f.resolve(folder)
	if !ok {
		return nil
	}
	list, err := fs.ReadDir(f.root.FS(), folder)
	if err != nil {
		return nil
	}
	for _, d := range list {
		if !d.IsDir() && len(out) < maxEntries {
			out = append(out, d.Name())
		}
	}
	return out
}

// Intro is the beginning of an entry, at most size bytes.
func (e *Entry) Intro(size int) ([]byte, error) {
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	buf := make([]byte, size)
	n, err := io.ReadFull(r, buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return buf[:n], errors.Join(err, r.Close())
}
