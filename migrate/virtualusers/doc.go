// Package virtualusers imports the text files in which FTP servers keep users of their own:
// ProFTPD's AuthUserFile, the password file of vsftpd's pam_pwdfile with its vsftpd.conf,
// and the list of log-ins that vsftpd's database is made of.
//
// The hashes in them are those of crypt(3). Traditional DES hashes cannot be checked here.
package virtualusers

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/convert"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
)

// Site is the name of the one site that the users come to.
const Site = "default"

// sftpPort is where it is served if nothing says where: 22 is mostly taken.
const sftpPort = 2222

// Bounds of the files.
const (
	maxLine  = 64 << 10
	maxUsers = 1 << 20
)

// source is what both have in common.
type source struct {
	product, container string
	file               *archive.File
	run                func(i *run) error
}

// About implements importer.Source.
func (s *source) About() report.Source {
	return report.Source{Product: s.product, Container: s.container, File: s.file.Name}
}

// Close implements importer.Source.
func (s *source) Close() error { return s.file.Close() }

// Import implements importer.Source.
func (s *source) Import(ctx context.Context, o importer.Options, to importer.Taker, r *report.Report) error {
	c, err := convert.New(s.product, o, to, r)
	if err != nil {
		return err
	}
	if err := c.Nodes(nil); err != nil {
		return err
	}
	site, err := c.BeginSite(convert.OldSite{ID: Site, Title: s.product})
	if err != nil {
		return err
	}
	if err := site.HostKeys(nil); err != nil {
		return err
	}
	if err := site.Listen(sftpPort); err != nil {
		return err
	}
	r.Warn(report.Protocols, "the users of the file log in by SFTP now, with the name and password that they had for FTP", "tell them the new address, the port and the fingerprints; take them in where FTP alone was meant")
	i := &run{ctx: ctx, site: site, accounts: site.Accounts(), r: r}
	if err := s.run(i); err != nil {
		return err
	}
	if err := i.accounts.End(); err != nil {
		return err
	}
	c.Finish()
	return r.Balanced()
}

// run is one import.
type run struct {
	ctx      context.Context
	site     *convert.Site
	accounts *convert.Accounts
	r        *report.Report
}

// eachLine hands over the lines of a file that say something, with their numbers.
func eachLine(ctx context.Context, e *archive.Entry, take func(n int, line string) error) error {
	r, err := e.Open()
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	for n := 1; lines.Scan(); n++ {
		if n%256 == 0 && ctx.Err() != nil {
			return errors.Join(ctx.Err(), r.Close())
		}
		line := strings.TrimRight(strings.ToValidUTF8(lines.Text(), "\ufffd"), " \t\r")
		if line == "" || strings.HasPrefix(strings.TrimLeft(line, " \t"), "#") {
			continue
		}
		if err := take(n, line); err != nil {
			return errors.Join(err, r.Close())
		}
	}
	err = lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = fmt.Errorf("%w: %s has a line of more than %d bytes", archive.ErrHostile, e.Name, maxLine)
	}
	return errors.Join(err, r.Close())
}

// crypted are hashes of crypt(3), with or without the mark of a locked account.
var crypted = regexp.MustCompile(`^[!*]{0,2}(\$(1|2[abxy]?|5|6|7|y|gy|apr1|argon2[id]{1,2})\$[^: ]+|[./0-9A-Za-z]{13})$`)

// des is a traditional hash.
var des = regexp.MustCompile(`^[./0-9A-Za-z]{13}$`)

// looksLike tells whether the first lines of a file, but for a few, have the fields that
// fits asks for, and the second of half of them at least is a hash.
func looksLike(e *archive.Entry, fits func(fields []string) bool) (bool, error) {
	const looked = 16 << 10
	intro, err := e.Intro(looked)
	if err != nil || bytes.IndexByte(intro, 0) >= 0 {
		return false, err
	}
	hashes, lines, others := 0, 0, 0
	text := string(intro)
	if len(intro) == looked {
		text = text[:strings.LastIndexByte(text, '\n')+1]
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		fields := strings.Split(line, ":")
		if !fits(fields) {
			others++
		} else if lines++; crypted.MatchString(fields[1]) {
			hashes++
		}
	}
	return hashes > 0 && hashes*2 >= lines && others*4 <= lines, nil
}

// password reads a hash of crypt(3). locked tells one that nobody can log in with.
func password(hash string) (p convert.Password, locked bool) {
	switch {
	case hash == "", strings.HasPrefix(hash, "!"), strings.HasPrefix(hash, "*"):
		return convert.Password{}, true
	case des.MatchString(hash):
		return convert.Password{Scheme: convert.Foreign, Hash: hash}, false
	}
	return convert.Password{Hash: hash}, false
}
