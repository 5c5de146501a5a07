package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"ss-setup/installer/bundle"
	"ss-setup/installer/machine"
	"ss-setup/installer/plan"
	"ss-setup/installer/preflight"
	"ss-setup/installer/support"
	"ss-setup/runtime/version"
)

// supportBundle is the verb support-bundle. It changes nothing and is made for a
// broken installation: all that must work is to write the archive.
func (p *programme) supportBundle() *cli.Command {
	return &cli.Command{
		Name: "support-bundle", Usage: "write logs, receipts and states into an archive for support, without secrets",
		Flags: append([]cli.Flag{
			textFlag("output", "write the archive to `FILE`; else into this folder, named after the time"),
		}, machineFlags()...),
		Before: func(c *cli.Context) error { return noArguments(c, p.args) },
		Action: func(c *cli.Context) error {
			set, err := readSettings(c, p.args, nil)
			if err != nil {
				return err
			}
			if err := p.mayRead("support-bundle", set); err != nil {
				return err
			}
			set.output = outputPlain
			s := newSession(set, p.streams)
			defer s.close()
			return s.writeSupport(c.Context, c.String("output"), time.Now())
		},
	}
}

func (s *session) writeSupport(ctx context.Context, path string, now time.Time) error {
	top := "ss-server-support-" + now.UTC().Format("20060102T150405Z")
	if path == "" {
		path = top + ".tar.gz"
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	// The services are asked as far as they can be; without a machine that can be
	// opened at all, its files are there still.
	opened := s.open()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return &Failure{
			Exit: PutBack, Err: fmt.Errorf("there is a file %s already, and no archive takes the place of another file", path),
			Cure: "name another file: " + again("support-bundle", "--output", "FILE") + "\nor leave --output out: the name then has the time in it",
		}
	}
	if err != nil {
		return &Failure{
			Exit: PutBack, Err: fmt.Errorf("write the archive: %w", err),
			Cure: "name another file: " + again("support-bundle", "--output", "FILE"),
		}
	}
	sum, err := support.Write(ctx, f, top, s.redactor(), s.supportSources(opened, now), now)
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	for _, e := range sum.Errors {
		s.warn("not in the archive: " + e)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.streams.Out, "%s\n%d files, %s. Passwords, keys and codes are left out as far as they are known by their looks;\nlook it through before you send it: tar -xzf %s\n",
		path, sum.Files, size(info.Size()), shellWord(path))
	return nil
}

// secretFiles hold what must be in no other file.
var secretFiles = []string{filepath.Join(machine.ServerStateDir, "probe.key"), filepath.Join(machine.LicensedStateDir, "probe.key")}

// maxSecret is more than a secret in a file ever has.
const maxSecret = 4 << 10

func (s *session) redactor() *support.Redactor {
	files := &machine.FS{Root: s.root}
	var known [][]byte
	for _, path := range secretFiles {
		if secret, err := files.ReadSmall(path, maxSecret); err == nil {
			known = append(known, secret)
		}
	}
	return support.NewRedactor(known...)
}

// supportSources is the list of what goes in. Nothing of a store, of the key ring,
// of certificates and of what users stored is in it, by any name.
func (s *session) supportSources(opened error, now time.Time) []support.Source {
	c := &collection{s: s, files: &machine.FS{Root: s.root}}
	c.text("about.txt", func(context.Context) ([]byte, error) { return about(now, opened), nil })
	if s.m != nil && s.m.Services != nil && s.m.Programs != nil && opened == nil {
		c.answer("status.json", (*session).status)
		c.answer("verify.json", (*session).verify)
		c.text("preflight.json", s.supportChecks)
	}
	c.file("setup/state.json", machine.StateFile)
	c.newest("setup/receipts", machine.ReceiptsDir, 10)
	c.text("setup/journal.txt", func(context.Context) ([]byte, error) { return c.journal() })
	c.newest("logs/ss-setup", machine.SetupLogDir, 20)
	c.newest("logs/ss-server", machine.ServerLogDir, 10)
	c.newest("config", machine.ConfigDir, 20)
	c.text("files.txt", func(context.Context) ([]byte, error) { return c.tree() })
	c.definitions()
	c.distribution()
	if s.root == "" {
		c.running()
	}
	return c.list
}

// exeSuffix ends the names of programs.
var exeSuffix = filepath.Ext(machine.SetupName)

// collection is a list of sources that is being made.
type collection struct {
	s     *session
	files *machine.FS
	list  []support.Source
}

func (c *collection) text(name string, read func(context.Context) ([]byte, error)) {
	c.list = append(c.list, support.Source{Name: name, Read: read})
}

// file is one of the product's; that it is not there is for status to tell.
func (c *collection) file(name, path string) {
	c.list = append(c.list, support.Optional(support.File(name, c.files.Real(path))))
}

func (c *collection) command(name string, argv ...string) {
	c.list = append(c.list, support.Optional(support.Command(name, argv...)))
}

// answer is what a reading verb prints as JSON.
func (c *collection) answer(name string, verb func(*session, context.Context) (Exit, error)) {
	c.text(name, func(ctx context.Context) ([]byte, error) {
		var out bytes.Buffer
		asked := *c.s
		asked.jsonAnswer, asked.streams.Out = true, &out
		_, err := verb(&asked, ctx)
		if errors.Is(err, plan.ErrNothingInstalled) {
			err = nil
		}
		return out.Bytes(), err
	})
}

// newest adds the newest files of a folder, the newest first, as it may be left
// out what comes last.
func (c *collection) newest(name, dir string, most int) {
	entries, err := os.ReadDir(c.files.Real(dir))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			c.text(name, func(context.Context) ([]byte, error) { return nil, err })
		}
		return
	}
	var found []fs.FileInfo
	for _, e := range entries {
		if isReport, _ := filepath.Match(importReports, e.Name()); isReport {
			continue // it names all users, and who of them has a weak password
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			found = append(found, info)
		}
	}
	slices.SortStableFunc(found, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for _, info := range found[:min(most, len(found))] {
		c.file(name+"/"+info.Name(), filepath.Join(dir, info.Name()))
	}
}

// journal is that of an interrupted run. Its space is reserved, with zeros.
func (c *collection) journal() ([]byte, error) {
	entries, err := c.files.ReadDir(machine.TxnDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, e := range entries {
		fmt.Fprintf(&out, "%s\n", e)
	}
	for _, e := range entries {
		if e.IsDir() {
			continue // what steps saved of the machine: accounts, for one
		}
		content, err := c.files.ReadSmall(filepath.Join(machine.TxnDir, e.Name()), support.MaxSource)
		if err != nil {
			return out.Bytes(), err
		}
		fmt.Fprintf(&out, "\n%s:\n%s\n", e.Name(), bytes.Trim(content, "\x00"))
	}
	return out.Bytes(), nil
}

// listed are the folders whose files are named, and how deep.
var listed = []struct {
	path  string
	depth int
}{
	{machine.ProgramDir, 4},
	{machine.ServerStateDir, 2},
	{machine.LicensedStateDir, 2},
	{machine.SetupDir, 3},
	{machine.ConfigDir, 2},
	{machine.FilesDir, 0},
	{machine.ServerLogDir, 1},
}

// tree names the product's files with mode, owner and size, and what links lead to.
func (c *collection) tree() ([]byte, error) {
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 8, 1, ' ', 0)
	var errs []error
	for _, l := range listed {
		top := c.files.Real(l.path)
		errs = append(errs, filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				if !errors.Is(err, fs.ErrNotExist) {
					fmt.Fprintf(table, "?\t\t\t\t%s: %v\n", path, err)
				}
				return nil
			}
			info, err := d.Info()
			if err != nil {
				return nil // gone meanwhile
			}
			uid, gid := machine.Owner(info)
			name := path
			if target, err := os.Readlink(path); err == nil {
				name += " -> " + target
			}
			fmt.Fprintf(table, "%s\t%d:%d\t%d\t%s\t%s\n", info.Mode(), uid, gid, info.Size(), info.ModTime().UTC().Format(time.DateTime), name)
			rel, _ := filepath.Rel(top, path)
			if d.IsDir() && rel != "." && strings.Count(filepath.ToSlash(rel), "/")+1 >= l.depth || l.depth == 0 {
				return fs.SkipDir
			}
			return nil
		}))
	}
	err := errors.Join(append(errs, table.Flush())...)
	return out.Bytes(), err
}

// definitions are those of the services, with what an administrator added.
func (c *collection) definitions() {
	if c.s.m == nil || c.s.m.Services == nil {
		return
	}
	for _, service := range []string{machine.ServerService, machine.LicensedService} {
		path := c.s.m.Services.Definition(service).Path
		c.file("services/"+filepath.Base(path), path)
		c.newest("services/"+filepath.Base(path)+".d", path+".d", 10)
	}
}

// supportChecks are the checks of an install on the machine as it is.
func (s *session) supportChecks(ctx context.Context) ([]byte, error) {
	web, license := s.ports()
	checks := preflight.Run(ctx, preflight.NewProbe(&machine.FS{Root: s.root}, s.m.Services), preflight.Input{
		OS: runtime.GOOS, Arch: runtime.GOARCH, Installed: s.m.FS.Exists(machine.Current), Image: s.root != "",
		Services: []string{machine.ServerService, machine.LicensedService},
		Demands:  preflight.Release(0, 0, 0),
		Ports: []preflight.Port{
			{Service: machine.ServerService, Number: web, Flag: "--web-port"},
			{Service: machine.LicensedService, Number: license, Flag: "--license-port", Loopback: true},
		},
	})
	return json.MarshalIndent(checks, "", "  ")
}

func about(now time.Time, opened error) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "ss-setup %s, %s/%s\n%s\n", version.Version, runtime.GOOS, runtime.GOARCH, now.UTC().Format(time.RFC3339))
	if opened != nil {
		fmt.Fprintf(&out, "the machine could not be opened: %v\n", opened)
	}
	return out.Bytes()
}

// ownVersions asks the programs in force, which lie in the folder of their release,
// what they are.
func (c *collection) ownVersions(release string) {
	program := func(name string) string { return filepath.Join(release, "bin", name+exeSuffix) }
	for _, name := range []string{machine.ServerService, machine.LicensedService, "lmu"} {
		c.command("versions/"+name+".txt", program(name), "version")
	}
	c.command("license.json", program("lmu"), "--json")
	c.file("versions/manifest.json", filepath.Join(release, bundle.ManifestName))
}
