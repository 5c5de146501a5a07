package move

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// Folder is a folder in which a VFS keeps the files of users.
type Folder struct {
	Path string `json:"path"`
	// Leads is where the files lie if Path is a link, or lies behind one.
	Leads string `json:"leads,omitempty"`
	// Missing: it was not there on the old machine either.
	Missing bool `json:"missing,omitempty"`
	// Files is how many entries that are no folders lie in it, at any depth; Bytes how
	// large its plain files are together.
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
	// Unreadable is how many files and folders root could not look at, as on a share of
	// the network: the other numbers are of what is left.
	Unreadable int64 `json:"unreadable,omitempty"`
}

// Measure counts what lies in a folder, or where a link in its place leads. What cannot be
// looked at is counted as such, and what goes away meanwhile is not there: the only error
// is that of ctx.
func Measure(ctx context.Context, root string) (Folder, error) {
	f := Folder{Path: root}
	real, err := filepath.EvalSymlinks(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Missing = true
		return f, ctx.Err()
	case err != nil:
		real = root // the walk finds out the same
	default:
		// Case means nothing on Windows.
		if rel, err := filepath.Rel(root, real); err != nil || rel != "." {
			f.Leads = real
		}
	}
	err = filepath.WalkDir(real, func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist):
			f.Missing = f.Missing || path == real
			return nil
		case err != nil:
			f.Unreadable++
			return nil
		case !d.IsDir():
			f.add(d)
		}
		return nil
	})
	return f, err
}

func (f *Folder) add(d fs.DirEntry) {
	if !d.Type().IsRegular() {
		f.Files++
		return
	}
	info, err := d.Info()
	switch {
	case err == nil:
		f.Files++
		f.Bytes += info.Size()
	case !errors.Is(err, fs.ErrNotExist):
		f.Files++
		f.Unreadable++
	}
}

// Lacking says, a line for each folder, what of the files of users is not on this machine.
func (l List) Lacking(ctx context.Context) ([]string, error) {
	var out []string
	for _, was := range l.Folders {
		if was.Missing {
			continue
		}
		now, err := Measure(ctx, was.Path)
		if err != nil {
			return nil, fmt.Errorf("look at the files of users: %w", err)
		}
		switch {
		case now.Missing:
			out = append(out, fmt.Sprintf("%s is not here (%s)", was.Path, was.size()))
		case now.Files < was.Files || now.Bytes < was.Bytes:
			out = append(out, fmt.Sprintf("%s has %s, and had %s", was.Path, now.size(), was.size()))
		}
	}
	return out, nil
}

// Uncounted says, a line for each folder, what could not be looked at on the old machine.
func (l List) Uncounted() []string {
	var out []string
	for _, f := range l.Folders {
		if f.Unreadable > 0 {
			out = append(out, fmt.Sprintf("%d files or folders in %s could not be looked at on %s, and are not counted", f.Unreadable, f.Path, l.Host))
		}
	}
	return out
}

func (f Folder) size() string {
	text := fmt.Sprintf("%d files, %d bytes", f.Files, f.Bytes)
	if f.Unreadable > 0 {
		text += fmt.Sprintf(" and %d that cannot be looked at", f.Unreadable)
	}
	return text
}
