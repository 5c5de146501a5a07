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
	"syscall"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/archive"
	"ss-setup/installer/bundle/repository"
	"ss-setup/installer/machine"
	"ss-setup/installer/plan"
	"ss-setup/installer/txn"
)

// install is the verb install. The ss-setup of the package takes over before
// anything is done: it knows its own release best, and a broken one is found
// out before it is trusted.
func (s *session) install(ctx context.Context) (*ending, error) {
	b, err := s.findBundle(ctx)
	if err != nil {
		return nil, err
	}
	if b != nil {
		if err := s.handOver(ctx, b); err != nil {
			return nil, err
		}
	}
	s.tellTrust()
	end, err := s.change(ctx, func(ctx context.Context, sit *plan.Situation) (*plan.Proposal, error) {
		if b == nil {
			if b, err = s.keptBundle(sit); err != nil {
				return nil, err
			}
		}
		s.m.Bundle = b
		p, err := plan.ForInstall(sit, b, s.options)
		if err == nil && p.Action == plan.ActionRepair {
			p.Notes = append(p.Notes, s.foundToRepair(ctx, sit)...)
			if flaws, err := plan.FlawsOf(s.m, sit.Current); err != nil || len(flaws) > 0 {
				p.GoBack = "" // what was damaged stays so: nobody can go back to it
			}
		}
		if err == nil && s.moving != nil {
			s.m.Moving = s.folder
			err = s.judgeMove(ctx, p)
		}
		if err != nil || p.Nothing {
			return p, err
		}
		return s.unlessServing(sit, p)
	})
	if err == nil && end.Outcome == outcomeNothing {
		err = s.noteManager(end.Generation)
	}
	if err == nil && end.Outcome != string(txn.RolledBack) {
		s.keepAnswers()
	}
	if err != nil || end.Outcome != string(txn.Committed) {
		return end, err
	}
	if s.root != "" {
		end.message += fmt.Sprintf(" in %s; what is enabled there starts at its first boot", s.root)
		return end, nil
	}
	if s.options.Offline {
		end.message += "; nothing was started: what is enabled starts with the machine"
	}
	s.welcome(ctx, end)
	return end, nil
}

// maxFound is how many deviations a repair tells of one by one.
const maxFound = 10

// foundToRepair says what differs, before a repair. Where nothing does it is carried
// out all the same: only with the services stopped can the stores be read as a whole.
func (s *session) foundToRepair(ctx context.Context, sit *plan.Situation) []string {
	found, err := plan.Verify(ctx, s.m, sit)
	if err != nil {
		s.log.Warn("cannot tell what differs", "error", err)
		return nil
	}
	if len(found) == 0 {
		return []string{"nothing differs from what was installed; the programs are installed anew and the stores are checked all the same"}
	}
	notes := []string{counted(len(found), "difference") + " from what was installed"}
	for i, d := range found {
		if i == maxFound {
			return append(notes, fmt.Sprintf("and %d more", len(found)-i))
		}
		notes = append(notes, d.Path+": "+d.Kind+expectedFound(d))
	}
	return notes
}

// findBundle opens the package that --from names, or the one beside this program,
// or gets it from a repository; it is nil when there is none.
func (s *session) findBundle(ctx context.Context) (*bundle.Bundle, error) {
	if dir := os.Getenv(stagedVariable); dir != "" {
		if !s.taken(dir) {
			return nil, usagef("", "%s is set to %s, which is no folder that %s downloads to; unset it", stagedVariable, dir, program)
		}
		s.staged = dir // the ss-setup that ran before this one has got it, or part of it
		if err := s.claim(ctx, filepath.Dir(dir)); err != nil {
			return nil, err
		}
		if _, err := os.Lstat(filepath.Join(dir, bundle.PayloadName)); err == nil {
			return s.openFolder(ctx, dir)
		}
		if strings.HasPrefix(filepath.Base(dir), copied) && vanishes() {
			s.unstage() // only this program is there, and runs on without its name
			s.staged = ""
		}
	}
	dir, beside := s.from, false
	if dir == "" && len(s.mirrors) == 0 {
		var err error
		if beside, err = packageBeside(ownFolder()); err != nil {
			return nil, err
		}
	}
	switch {
	case repository.IsAddress(dir):
		return s.download(ctx)
	case beside:
		dir = ownFolder()
	case dir == "" && s.options.Repair && len(s.mirrors) == 0 && s.version == "":
		return nil, nil
	case dir == "" && len(s.addresses()) > 0:
		return s.download(ctx)
	case dir == "":
		return nil, nil
	}
	dir, err := s.packageFolder(ctx, dir)
	if err != nil {
		return nil, err
	}
	return s.openFolder(ctx, dir)
}

// openFolder opens the package in a folder and holds it to what was asked for.
func (s *session) openFolder(ctx context.Context, dir string) (*bundle.Bundle, error) {
	b, channel, err := s.openTrusted(ctx, dir)
	if err != nil {
		return nil, err
	}
	if m := b.Manifest; m.OS != runtime.GOOS || m.Arch != runtime.GOARCH {
		return nil, &Failure{
			Exit: Unsupported, Err: fmt.Errorf("the package in %s is for %s/%s, this machine is %s/%s", dir, m.OS, m.Arch, runtime.GOOS, runtime.GOARCH),
			Cure: fmt.Sprintf("get the package for %s/%s", runtime.GOOS, runtime.GOARCH),
		}
	}
	if s.version != "" && s.version != b.Manifest.Version {
		return nil, usagef("", "the package in %s is of version %s, not %s", dir, b.Manifest.Version, s.version)
	}
	// What was chosen from a repository fits: who follows beta gets stable releases, too.
	chosen := repository.IsAddress(s.from) || s.from == "" && dir == s.staged
	if s.channelGiven && channel != s.channel && !chosen {
		return nil, s.wrongChannel(dir, channel)
	}
	return b, nil
}

// wrongChannel is the failure for a package of another channel than --channel names.
func (s *session) wrongChannel(dir, channel string) error {
	return &Failure{
		Exit: WrongUsage, Err: fmt.Errorf("the package in %s is of channel %s, and --channel is %s; nothing was changed", dir, channel, s.channel),
		Cure: fmt.Sprintf("to install this package, leave --channel out; for channel %s get a package of it, or name a repository: %s",
			s.channel, again("install", "--channel", s.channel, "--from", "ADDRESS")),
	}
}

// packageBeside tells whether a package lies in the folder of this program. A part
// of one is a package that was not copied whole, not a program without a package.
func packageBeside(dir string) (bool, error) {
	has := func(name string) bool {
		_, err := os.Lstat(filepath.Join(dir, name))
		return err == nil
	}
	manifest, payload := has(bundle.ManifestName), has(bundle.PayloadName)
	part, missing := bundle.ManifestName, bundle.PayloadName
	switch {
	case manifest == payload:
		return manifest, nil
	case payload:
		part, missing = missing, part
	}
	return false, &Failure{
		Exit: BadPackage, Err: fmt.Errorf("the package in %s is not whole: %s is there and %s is not; nothing was changed", dir, part, missing),
		Cure: "get the package again, with all of its files in one folder",
	}
}

// packageFolder is the folder of the package that path names: its folder, a file in
// it, or its archive, which is unpacked. Whoever names a wrong place has not got a
// damaged package.
func (s *session) packageFolder(ctx context.Context, path string) (string, error) {
	right := again(withFrom(s.args)...)
	if strings.Contains(path, "://") {
		return "", usagef(right, "--from %s is no address of a repository; one begins with https:// or http://", path)
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return "", usagef(right, "there is nothing at --from %s", path)
	}
	if err != nil {
		return "", fmt.Errorf("look at --from %s: %w", path, err)
	}
	if archive.Is(path) && info.Mode().IsRegular() {
		return s.unpackArchive(ctx, path)
	}
	files := []string{bundle.ManifestName, bundle.PayloadName, machine.SetupName}
	dir := path
	if !info.IsDir() {
		if !slices.Contains(files, filepath.Base(path)) {
			return "", usagef(right, "--from %s is neither the folder of a package nor a file of one (%s, %s)", path, files[0], files[1])
		}
		dir = filepath.Dir(path)
	}
	there := func(name string) bool {
		_, err := os.Lstat(filepath.Join(dir, name))
		return err == nil
	}
	if !slices.ContainsFunc(files, there) {
		return "", usagef(right, "there is no package in --from %s: it has no %s", path, bundle.ManifestName)
	}
	return dir, nil
}

// handOver goes on as the package's own ss-setup unless this is it. It is run from a
// private copy: others may be able to write where the package lies, and would have the
// time between its proof and its start.
func (s *session) handOver(ctx context.Context, b *bundle.Bundle) error {
	if s.self == b.Manifest.Setup.SHA256 {
		return nil
	}
	if s.from == "" && s.staged == "" {
		// The copy has no package beside it.
		s.args = append(slices.Clone(s.args), "--from", filepath.Dir(b.SetupPath()))
	}
	setup, err := s.stageSetup(ctx, b)
	if err != nil {
		return err
	}
	return s.becomePackaged(setup)
}

// copied begins the names of folders with nothing but a copy of an ss-setup.
const copied = "setup-"

// stageSetup makes a private copy of the package's ss-setup and proves it. A package
// that lies in private staging itself needs none.
func (s *session) stageSetup(ctx context.Context, b *bundle.Bundle) (string, error) {
	if s.staged != "" && filepath.Dir(b.SetupPath()) == filepath.Clean(s.staged) {
		return b.SetupPath(), b.VerifySetup(ctx)
	}
	dir, err := s.staging(ctx)
	if err != nil {
		return "", err
	}
	own, err := os.MkdirTemp(dir, copied)
	if err != nil {
		return "", err
	}
	s.staged = own
	file := filepath.Join(own, filepath.Base(b.SetupPath()))
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return "", err
	}
	return file, errors.Join(b.CopySetup(ctx, f), f.Close())
}

// becomePackaged goes on as another ss-setup, which has been verified.
func (s *session) becomePackaged(setup string) error {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, stagedVariable+"=") })
	if s.staged != "" {
		env = append(env, stagedVariable+"="+s.staged)
	}
	err := become(setup, s.args, env, s.claimed) // which does not return
	return fmt.Errorf("run the %s of the package: %w; copy the package to a disk that programs may be run from", program, err)
}

// keptBundle is the package that the installed release keeps, so that a repair
// works without any other. The ss-setup that it goes with is this one.
func (s *session) keptBundle(sit *plan.Situation) (*bundle.Bundle, error) {
	if err := sit.CheckLink(); err != nil {
		return nil, err
	}
	if !sit.Installed() && (s.options.Update || s.options.Repair) {
		return nil, &Failure{Exit: NothingInstalled, Err: fmt.Errorf("%w, so there is nothing to%s", plan.ErrNothingInstalled, strings.Replace(s.mode(), "--", "", 1)), Cure: "run: " + s.names.command("install")}
	}
	if !sit.Installed() || s.options.Update {
		return nil, usagef(s.names.command(s.verb, strings.Fields(s.mode())...), "there is no package beside this program, and --from names neither one nor a repository")
	}
	b, err := bundle.OpenRelease(s.m.FS.Real(machine.Release(sit.Release)))
	if err != nil && sit.Damaged != "" {
		return nil, &Failure{
			Exit: CheckFailed, Err: fmt.Errorf("%s, and with it the package to repair it from", sit.Damaged),
			Cure: fmt.Sprintf("get the package of %s and run: %s", sit.Version, s.names.command("install", "--repair", "--from", "DIR")),
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w; or name a package: ss-setup install%s --from DIR", err, s.mode())
	}
	if b.Evidence, err = s.keptEvidence(sit.Release); err != nil {
		return nil, err
	}
	info, err := os.Stat(selfPath)
	if err != nil {
		return nil, err
	}
	b.Manifest.Setup = bundle.Blob{Size: info.Size(), SHA256: s.self}
	return b, nil
}

func (s *session) mode() string {
	switch {
	case s.options.Update:
		return " --update"
	case s.options.Repair:
		return " --repair"
	case s.options.Force:
		return " -F"
	}
	return ""
}
