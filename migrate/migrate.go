// Package migrate brings configurations of older products here: it recognises what a file
// is, has the importer of that product read it, and builds a store out of it that comes
// into force as a whole or not at all.
//
// Importers are packages of their own that implement importer.Source and stand in the list
// in this file. They give objects of the model and tell the report; nothing but this
// package knows where the objects go.
package migrate

import (
	"context"
	"errors"
	"fmt"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/v45"
	"ss-setup/migrate/v6"
)

// products open a file if it is theirs, and refuse it with archive.ErrNotBackup if it is
// another's.
var products = []func(context.Context, *archive.File) (importer.Source, error){
	func(ctx context.Context, f *archive.File) (importer.Source, error) { return v6.Open(ctx, f) },
	func(ctx context.Context, f *archive.File) (importer.Source, error) { return v45.Open(ctx, f) },
}

// Open recognises the backup of a path. It refuses with the errors of package archive,
// whose words say what the file is and what to do.
func Open(ctx context.Context, path string) (importer.Source, error) {
	f, err := archive.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s, err := Recognise(ctx, f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return s, nil
}

// Recognise finds the importer of an opened file. The source closes the file.
func Recognise(ctx context.Context, f *archive.File) (importer.Source, error) {
	var refused error
	for _, open := range products {
		s, err := open(ctx, f)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, archive.ErrNotBackup) {
			return nil, err
		}
		var other *archive.VersionError
		if errors.As(err, &other) && refused == nil {
			refused = ofVersion(other.Version)
		}
	}
	if refused == nil {
		refused = fmt.Errorf("%w: nothing in it belongs to version 4, 5 or 6", archive.ErrNotBackup)
	}
	return nil, refused
}

// ofVersion says why a version is not imported; nil for one that is.
func ofVersion(version string) error {
	switch major, _ := archive.Major(version); {
	case major >= 1 && major <= 3:
		return fmt.Errorf("%w: version %s was built on a technology that is no more, and its configuration cannot be exported; set this server up anew", archive.ErrTooOld, version)
	case major == 7:
		return fmt.Errorf("%w, but no whole one; make it again with: ss-server backup FILE", archive.ErrOwn)
	case major > 7:
		return fmt.Errorf("%w: version %s made it; install that version", archive.ErrTooNew, version)
	}
	return nil
}
