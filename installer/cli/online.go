package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/archive"
	"ss-setup/installer/bundle/repository"
	"ss-setup/installer/bundle/trust"
	"ss-setup/installer/machine"
	"ss-setup/installer/plan"
	"ss-setup/installer/step"
	"ss-setup/installer/txn"
	"ss-setup/runtime/version"
)

// stagedVariable tells the ss-setup of a downloaded package where that lies. What is
// there is verified all the same.
const stagedVariable = "SS_SETUP_STAGED_PACKAGE"

// downloadKind is the step that a download is shown as. It is no step of the plan:
// nothing of the machine is changed yet.
const downloadKind = "download"

// addresses are where releases are looked for, in this order.
func (s *session) addresses() []string {
	var out []string
	if s.from != "" {
		out = append(out, s.from)
	}
	out = append(out, s.mirrors...)
	if len(out) == 0 && repository.BuiltIn() != "" {
		out = append(out, repository.BuiltIn())
	}
	return out
}

// connect makes a client of the repository. It opens no connection.
func (s *session) connect() (*repository.Client, error) {
	return repository.New(repository.Options{
		Mirrors: s.addresses(), Proxy: s.proxy, CAFile: s.caFile,
		UserAgent: program + "/" + version.Version, Warn: s.warn,
	})
}

// newest verifies what a repository offers and remembers it.
func (s *session) newest(ctx context.Context, c *repository.Client) (*trust.Trusted, error) {
	anchor, err := embedded()
	if err != nil {
		return nil, err
	}
	trusted, err := c.Open(ctx, trust.Options{Anchor: anchor, Seen: s.seen(), Now: time.Now()})
	if err != nil {
		return nil, s.airGapped(err)
	}
	s.noteAnchor(anchor)
	return trusted, s.remember(trusted)
}

// remember keeps the metadata that were seen, on a machine that keeps anything.
func (s *session) remember(t *trust.Trusted) error {
	if s.planOnly || s.preflightOnly || !s.m.FS.Exists(machine.StateFile) {
		return nil
	}
	before, err := s.m.FS.ReadFile(machine.TrustFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	now, err := t.Seen().Marshal()
	if err != nil {
		return err
	}
	return step.SaveTrust(s.m.FS, before, now)
}

// airGapped adds the way out to the error of a machine that reaches no mirror.
func (s *session) airGapped(err error) error {
	if _, lost := errors.AsType[*repository.Unreachable](err); !lost || errors.Is(err, context.Canceled) {
		return err
	}
	return &Failure{
		Exit: CheckFailed, Err: fmt.Errorf("%w; nothing was changed", err),
		Cure: "name a proxy with --proxy, another repository with --from or --mirror\nwithout a network: get the package elsewhere, copy it here, then run: " + s.names.command("install", "--from", "DIR"),
	}
}

// download gets the wanted release from the repository, if it is worth it.
func (s *session) download(ctx context.Context) (*bundle.Bundle, error) {
	c, err := s.connect()
	if err != nil {
		return nil, err
	}
	trusted, err := s.newest(ctx, c)
	if err != nil {
		return nil, err
	}
	r, err := trusted.Find(trust.Want{OS: runtime.GOOS, Arch: runtime.GOARCH, Version: s.version, Channel: s.channel})
	if err != nil {
		return nil, err
	}
	b, err := s.glance(ctx, c, trusted, r)
	if b != nil || err != nil {
		return b, err
	}
	dir, err := s.fetch(ctx, c, trusted, r)
	if err != nil {
		return nil, err
	}
	return s.openFolder(ctx, dir)
}

// glance looks at the manifest alone: a release that is installed already, or would
// be refused, is not downloaded. It returns nil when the rest is needed.
func (s *session) glance(ctx context.Context, c *repository.Client, trusted *trust.Trusted, r trust.Release) (*bundle.Bundle, error) {
	raw, err := c.Read(ctx, r.Manifest)
	if err != nil {
		return nil, s.airGapped(err)
	}
	if err := trusted.Verify(raw); err != nil {
		return nil, err
	}
	m, err := bundle.Parse(raw)
	if err != nil {
		return nil, err
	}
	sit, err := s.look(ctx)
	if err != nil || sit.Interrupted != nil {
		return nil, err
	}
	b := &bundle.Bundle{Manifest: m, Raw: raw, Digest: r.Digest}
	p, err := plan.ForInstall(sit, b, s.options)
	if err != nil {
		return nil, err
	}
	if !p.Nothing {
		return nil, nil
	}
	// There is nothing to do, so its ss-setup need not do it.
	b.Manifest.Setup.SHA256 = s.self
	return b, nil
}

// fetch downloads a release into a private folder. The ss-setup of the release takes
// over as soon as it is there.
func (s *session) fetch(ctx context.Context, c *repository.Client, trusted *trust.Trusted, r trust.Release) (string, error) {
	dir, err := s.staging(ctx)
	if err != nil {
		return "", err
	}
	f := &repository.Fetch{Client: c, Release: r, Seen: trusted.Seen(), Dir: dir, Base: s.base(ctx), Progress: s.out.advance}
	s.staged = f.Folder()
	event := txn.Event{Type: eventStart, Total: 1, Kind: downloadKind, Text: fmt.Sprintf("download release %s (%s)", r.Version, size(f.Bytes()))}
	s.observe(event)
	err = f.Setup(ctx)
	if err == nil {
		err = s.becomeDownloaded(f)
	}
	if err == nil {
		err = f.Payload(ctx)
	}
	if err != nil {
		if dir == s.m.FS.Real(machine.DownloadDir) {
			s.staged = "" // what has come so far stays, to be taken up by the next run
		}
		return "", s.airGapped(s.noRoom(fmt.Errorf("download release %s: %w", r.Version, err), dir))
	}
	event.Type = eventDone
	s.observe(event)
	return f.Folder(), nil
}

// noRoom adds the way out to the error of a download that the disk has no room for.
func (s *session) noRoom(err error, dir string) error {
	if !machine.DiskFull(err) {
		return err
	}
	return &Failure{
		Exit: CheckFailed, Err: fmt.Errorf("%w; nothing was changed", err),
		Cure: "make room on the disk of " + dir + ", then run: " + s.command(),
	}
}

// becomeDownloaded goes on as the ss-setup of the release, unless this is it.
func (s *session) becomeDownloaded(f *repository.Fetch) error {
	if s.self == f.Release.Setup.SHA256 {
		return nil
	}
	if s.from == "" && len(s.mirrors) == 0 {
		// The other one may have been built for another repository, or for none.
		s.args = append(slices.Clone(s.args), "--from", repository.BuiltIn())
	}
	return s.becomePackaged(filepath.Join(f.Folder(), trust.SetupName(f.Release.OS)))
}

// base is the installed release, which patches may start from; nil when there is none.
func (s *session) base(ctx context.Context) *repository.Base {
	sit, err := s.look(ctx)
	if err != nil || !sit.Installed() {
		return nil
	}
	return &repository.Base{
		Digest: sit.Digest, Setup: s.m.FS.Real(sit.SetupPath()),
		Payload: s.m.FS.Real(filepath.Join(machine.Release(sit.Release), bundle.PayloadName)),
	}
}

// staging is the private folder that packages are put in before they are trusted.
// What only looks, and what works on an image, leaves nothing on the machine.
func (s *session) staging(ctx context.Context) (string, error) {
	if s.staged != "" {
		dir := filepath.Dir(s.staged)
		return dir, s.claim(ctx, dir)
	}
	if !s.planOnly && !s.preflightOnly && s.root == "" && s.runsDownloads() {
		dir := s.m.FS.Real(machine.DownloadDir)
		if err := s.ownState(); err != nil {
			return "", err
		}
		return dir, s.claim(ctx, dir)
	}
	return makeStaging()
}

// runsDownloads tells whether programs may be run from the folder for downloads. Where
// /var is mounted noexec they may not, and a run that is interrupted begins anew.
func (s *session) runsDownloads() bool {
	at, err := machine.FilesystemAt(s.m.FS, machine.DownloadDir)
	return err != nil || !at.NoExec
}

// claim makes the folder for downloads and keeps other runs out of it until this one
// ends: they would write into the files that this one has proved, and remove what is
// not theirs. Whoever had it before may have taken it away at its end.
func (s *session) claim(ctx context.Context, dir string) error {
	if s.claimed != nil || dir != s.m.FS.Real(machine.DownloadDir) {
		return nil
	}
	until := time.Now().Add(max(lockPatience, s.lockWait))
	for {
		err := os.MkdirAll(dir, 0o700)
		if err == nil {
			err = makePrivate(dir)
		}
		if err == nil {
			s.claimed, err = lockFolder(dir)
		}
		if !errors.Is(err, txn.ErrBusy) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if time.Now().After(until) {
			return s.busy()
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// unclaim lets other runs into the folder for downloads.
func (s *session) unclaim() {
	if s.claimed != nil {
		_ = s.claimed.Close()
		s.claimed = nil
	}
}

// temporary begins the names of staging folders that are for one run alone.
const temporary = "ss-setup-"

// taken tells whether a folder is one that this program stages packages in: what it
// runs from there, and removes in the end, must be its own. A name proves nothing:
// everybody can make a folder, or a link, of such a name where temporary files lie.
func (s *session) taken(dir string) bool {
	if !filepath.IsAbs(dir) || dir != filepath.Clean(dir) {
		return false
	}
	parent := filepath.Dir(dir)
	ofRun := strings.HasPrefix(filepath.Base(parent), temporary) && slices.Contains(places(), filepath.Dir(parent))
	return (ofRun || parent == s.m.FS.Real(machine.DownloadDir)) && private(parent) && private(dir)
}

// unstage removes the package that was got for this run, and the folders that were
// made for it where nothing else is in them.
func (s *session) unstage() {
	if s.staged == "" {
		return
	}
	_ = os.RemoveAll(s.staged)
	_ = os.Remove(filepath.Dir(s.staged))
	s.unclaim()
	_ = os.Remove(s.m.FS.Real(machine.SetupDir))
}

// unpackArchive unpacks the archive of a package into a private folder.
func (s *session) unpackArchive(ctx context.Context, file string) (string, error) {
	dir, err := s.staging(ctx)
	if err != nil {
		return "", err
	}
	own, err := os.MkdirTemp(dir, "package-")
	if err != nil {
		return "", err
	}
	s.staged = own
	if err := archive.Unpack(ctx, file, own); err != nil {
		return "", fmt.Errorf("unpack %s: %w", file, err)
	}
	return own, nil
}
