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
	"slices"
	"strconv"
	"strings"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/filezilla"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/openssh"
	"ss-setup/migrate/sftpgo"
	"ss-setup/migrate/v45"
	"ss-setup/migrate/v6"
	"ss-setup/migrate/virtualusers"
)

// A product opens a file if it is its own, and refuses it with archive.ErrNotBackup if it
// is another's.
type product struct {
	// name is what --from calls it.
	name string
	open func(context.Context, *archive.File) (importer.Source, error)
	// json tells that it reads nothing else, but for what is packed.
	json bool
	// named tells that it is asked only by name: any text looks like its own.
	named bool
	// inPlace tells that it looks for files by their names, so that a folder, which may be
	// the root of a machine, is not looked through.
	inPlace bool
}

var products = []product{
	{name: "openssh", open: func(ctx context.Context, f *archive.File) (importer.Source, error) { return openssh.Open(ctx, f) }, inPlace: true},
	{name: "sftpgo", open: func(ctx context.Context, f *archive.File) (importer.Source, error) { return sftpgo.Open(ctx, f) }},
	{name: "filezilla", open: func(ctx context.Context, f *archive.File) (importer.Source, error) { return filezilla.Open(ctx, f) }},
	{name: "proftpd", open: func(ctx context.Context, f *archive.File) (importer.Source, error) {
		return virtualusers.OpenProFTPD(ctx, f)
	}},
	{name: "vsftpd", open: func(ctx context.Context, f *archive.File) (importer.Source, error) {
		return virtualusers.OpenVsftpd(ctx, f)
	}},
	{name: "vsftpd-logins", open: func(ctx context.Context, f *archive.File) (importer.Source, error) {
		return virtualusers.OpenLogins(ctx, f)
	}, named: true},
	{name: "v6", open: func(ctx context.Context, f *archive.File) (importer.Source, error) { return v6.Open(ctx, f) }, json: true},
	{name: "v45", open: func(ctx context.Context, f *archive.File) (importer.Source, error) { return v45.Open(ctx, f) }, json: true},
}

// Products are the names that From may have.
func Products() []string {
	out := make([]string, len(products))
	for i, p := range products {
		out[i] = p.name
	}
	return out
}

// Open recognises the backup of a path, a file or a folder. It refuses with the errors of
// package archive, whose words say what the file is and what to do.
func Open(ctx context.Context, path string) (importer.Source, error) { return OpenFrom(ctx, path, "") }

// OpenFrom is Open for the backup of one product, one of Products; of any if from is
// empty.
func OpenFrom(ctx context.Context, path, from string) (importer.Source, error) {
	f, err := archive.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s, err := recognise(ctx, f, from)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return s, nil
}

// Recognise finds the importer of an opened file. The source closes the file.
func Recognise(ctx context.Context, f *archive.File) (importer.Source, error) {
	return recognise(ctx, f, "")
}

func recognise(ctx context.Context, f *archive.File, from string) (importer.Source, error) {
	list := products
	if from != "" {
		at := slices.IndexFunc(products, func(p product) bool { return p.name == from })
		if at < 0 {
			return nil, fmt.Errorf("nothing is imported from %q; --from takes one of %s", from, strings.Join(Products(), ", "))
		}
		list = products[at : at+1]
	}
	var refused error
	for _, p := range list {
		if p.json && f.Text || p.named && from == "" {
			continue
		}
		if !p.inPlace {
			if err := f.List(); err != nil {
				return nil, err
			}
		}
		s, err := p.open(ctx, f)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, archive.ErrNotBackup) || from != "" {
			return nil, err
		}
		var other *archive.VersionError
		if errors.As(err, &other) && refused == nil {
			refused = ofVersion(other.Version)
		}
	}
	switch {
	case refused != nil:
		return nil, refused
	case f.Text && from == "":
		return nil, fmt.Errorf("%w: it is neither a zip archive nor JSON, nor a file of another server that is known here", archive.ErrNotBackup)
	}
	return nil, fmt.Errorf("%w: nothing in it belongs to version 4, 5 or 6, or to another server that is known here", archive.ErrNotBackup)
}

// ofVersion says why a version is not imported; nil for one that is.
func ofVersion(version string) error {
	shown := strings.Trim(strconv.QuoteToASCII(version), `"`)
	switch major, _ := archive.Major(version); {
	case major >= 1 && major <= 3:
		return fmt.Errorf("%w: version %s was built on a technology that is no more, and its configuration cannot be exported; set this server up anew", archive.ErrTooOld, shown)
	case major == 7:
		return fmt.Errorf("%w, but no whole one; make it again with: ss-server backup FILE", archive.ErrOwn)
	case major > 7:
		return fmt.Errorf("%w: version %s made it; install that version", archive.ErrTooNew, shown)
	}
	return nil
}
