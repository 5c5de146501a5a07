// Package legacy is what ss-setup knows of the configurations of older products: it has a
// running version 6 give its backup, finds backups that lie about, and tells what an
// import of one would do. It changes nothing.
package legacy

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ss-setup/migrate"
	"ss-setup/migrate/archive"
	"ss-setup/migrate/local"
	"ss-setup/migrate/report"
	"ss-setup/migrate/v6"
)

// Server is a running version 6 with the credentials of a SuperAdmin.
type Server = v6.Server

// ErrRefused: a running version 6 does not take the credentials.
var ErrRefused = v6.ErrRefused

// Session is a SuperAdmin's on a running version 6.
type Session struct{ session *v6.Session }

// LogIn begins a session, which LogOut ends.
func LogIn(ctx context.Context, s Server) (*Session, error) {
	session, err := v6.LogIn(ctx, s)
	if err != nil {
		return nil, err
	}
	return &Session{session}, nil
}

// Export has version 6 write a backup into a new file for root alone. There is none when it
// fails.
func (s *Session) Export(ctx context.Context, path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make room for the backup: %w", err)
	}
	err = s.session.Backup(ctx, f)
	if err = errors.Join(err, f.Close()); err != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// LogOut ends the session.
func (s *Session) LogOut(ctx context.Context) { s.session.LogOut(ctx) }

// Judgement is what an import would do.
type Judgement struct {
	// Own: the file is a backup of version 7, which is restored as it is.
	Own bool
	// Of6: it is one of version 6.
	Of6 bool
	// Report of the dry run; nil for an own one.
	Report *report.Report
	// Objects is a digest of everything that would be there.
	Objects string
	// Listens are the places where it would serve.
	migrate.Listens
}

// Machine is the server that an import is for.
type Machine = local.Machine

// Access looks at folders for an account as a dry run does: it says why the account may not
// use one, and what to run; nothing of one that it may use. It is nil for an account that
// may do anything, and on Windows.
func Access(account string) func(folder string) (why, cure string) { return local.Access(account) }

// Judge tells what the import of a file into an empty server would do: what ss-server's own
// dry run of it says, since both ask the machine alike. The errors are those of package
// migrate/archive, which say what the file is and what to do.
func Judge(ctx context.Context, path string, m Machine) (j Judgement, err error) {
	source, err := migrate.Open(ctx, path)
	if errors.Is(err, archive.ErrOwn) {
		return Judgement{Own: true}, nil
	}
	if err != nil {
		return j, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	j.Of6 = source.About().Product == v6.Product
	present, err := migrate.ReadPresent(ctx, nil)
	if err != nil {
		return j, err
	}
	options, err := local.Options(m)
	if err != nil {
		return j, err
	}
	j.Report, j.Objects, j.Listens, err = migrate.DryRunSum(ctx, source, present, options)
	return j, err
}

// Backup is one that lies about.
type Backup struct {
	Path string
	// Made is when its content was written, as far as it says so: the file may be a copy.
	Made time.Time
	// Version that made it, as far as it says so.
	Version string
}

// Bounds of the search: backups lie near the top of folders, and opening one costs time.
const (
	maxDepth  = 3
	maxLooked = 200
)

// Find looks for backups of versions 4 to 6 in folders and a few levels below them, the
// newest first. What cannot be read is none.
func Find(ctx context.Context, dirs ...string) []Backup {
	looked := 0
	var found []Backup
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			switch {
			case ctx.Err() != nil || looked >= maxLooked:
				return fs.SkipAll
			case err != nil:
				return nil
			case d.IsDir() && depth(dir, path) >= maxDepth:
				return fs.SkipDir
			case !d.Type().IsRegular() || !strings.EqualFold(filepath.Ext(path), ".zip"):
				return nil
			}
			looked++
			known := slices.ContainsFunc(found, func(b Backup) bool { return b.Path == path })
			if b, ok := look(ctx, path, d); ok && !known {
				found = append(found, b)
			}
			return nil
		})
	}
	slices.SortFunc(found, func(a, b Backup) int { return b.Made.Compare(a.Made) })
	return found
}

func depth(dir, path string) int {
	rel, err := filepath.Rel(dir, path)
	if err != nil || rel == "." {
		return 0
	}
	return strings.Count(rel, string(filepath.Separator)) + 1
}

// oldProduct begins the names of versions 4 to 6.
const oldProduct = "Syncplify"

func look(ctx context.Context, path string, d fs.DirEntry) (Backup, bool) {
	info, err := d.Info()
	if err != nil {
		return Backup{}, false
	}
	source, err := migrate.Open(ctx, path)
	if err != nil {
		return Backup{}, false
	}
	defer source.Close()
	if !strings.HasPrefix(source.About().Product, oldProduct) {
		return Backup{}, false // another product's
	}
	return Backup{Path: path, Made: madeAt(path, info.ModTime()), Version: source.About().Version}, true
}

// MadeAt is when the content of a backup was written, as far as it says so; else when the
// file was.
func MadeAt(path string) (time.Time, error) {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}, err
	}
	return madeAt(path, info.ModTime()), nil
}

// madeAt is the time of the newest part of an archive that was written before it was, or
// was copied.
func madeAt(path string, written time.Time) time.Time {
	z, err := zip.OpenReader(path)
	if err != nil {
		return written
	}
	defer z.Close()
	var newest time.Time
	for _, part := range z.File {
		if part.Modified.After(newest) && !part.Modified.After(written) {
			newest = part.Modified
		}
	}
	if newest.Year() < firstYear {
		return written // the parts have none
	}
	return newest
}

// firstYear is before any backup.
const firstYear = 2000
