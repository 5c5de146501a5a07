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

	"ss-setup/installer/bundle"
	"ss-setup/installer/machine"
	"ss-setup/installer/plan"
	"ss-setup/installer/txn"
)

// install is the verb install. The ss-setup of the package takes over before
// anything is done: it knows its own release best, and a broken one is found
// out before it is trusted.
func (s *session) install(ctx context.Context) (*ending, error) {
	b, err := s.findBundle()
	if err != nil {
		return nil, err
	}
	if b != nil {
		if err := s.handOver(ctx, b); err != nil {
			return nil, err
		}
	}
	end, err := s.change(ctx, func(_ context.Context, sit *plan.Situation) (*plan.Proposal, error) {
		if b == nil {
			if b, err = s.keptBundle(sit); err != nil {
				return nil, err
			}
		}
		s.m.Bundle = b
		return plan.ForInstall(sit, b, s.options)
	})
	if err != nil || end.Outcome != string(txn.Committed) {
		return end, err
	}
	if s.root != "" {
		end.message += fmt.Sprintf(" in %s; what is enabled there starts at its first boot", s.root)
		return end, nil
	}
	s.welcome(ctx, end)
	return end, nil
}

// findBundle opens the package that --from names, or the one beside this
// program; it is nil when there is none.
func (s *session) findBundle() (*bundle.Bundle, error) {
	dir := s.from
	if dir == "" {
		dir = ownFolder()
		if _, err := os.Lstat(filepath.Join(dir, bundle.ManifestName)); err != nil {
			return nil, nil
		}
	}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef(program+" install --from DIR", "there is nothing at --from %s", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("look at --from %s: %w", dir, err)
	}
	if !info.IsDir() {
		names := []string{bundle.ManifestName, bundle.PayloadName, bundle.SetupName}
		if !slices.Contains(names, filepath.Base(dir)) {
			return nil, usagef(program+" install --from DIR", "--from %s is neither the folder of a package nor a file of one (%s, %s)", dir, names[0], names[1])
		}
		dir = filepath.Dir(dir)
	}
	b, err := bundle.Open(dir)
	if err != nil {
		return nil, err
	}
	if m := b.Manifest; m.OS != runtime.GOOS || m.Arch != runtime.GOARCH {
		return nil, &Failure{
			Exit: Unsupported, Err: fmt.Errorf("the package in %s is for %s/%s, this machine is %s/%s", dir, m.OS, m.Arch, runtime.GOOS, runtime.GOARCH),
			Cure: fmt.Sprintf("get the package for %s/%s", runtime.GOOS, runtime.GOARCH),
		}
	}
	return b, nil
}

// handOver goes on as the package's own ss-setup unless this is it.
func (s *session) handOver(ctx context.Context, b *bundle.Bundle) error {
	if s.self == b.Manifest.Setup.SHA256 {
		return nil
	}
	if err := b.VerifySetup(ctx); err != nil {
		return err
	}
	if err := become(b.SetupPath(), s.args, os.Environ()); err != nil {
		return fmt.Errorf("run the %s of the package: %w; copy the package to a disk that programs may be run from", program, err)
	}
	return nil
}

// keptBundle is the package that the installed release keeps, so that a repair
// works without any other. The ss-setup that it goes with is this one.
func (s *session) keptBundle(sit *plan.Situation) (*bundle.Bundle, error) {
	if !sit.Installed() && (s.options.Update || s.options.Repair) {
		return nil, &Failure{Exit: NothingInstalled, Err: fmt.Errorf("%w, so there is nothing to%s", plan.ErrNothingInstalled, strings.Replace(s.mode(), "--", "", 1)), Cure: "run: " + program + " install --from DIR"}
	}
	if !sit.Installed() || s.options.Update {
		return nil, usagef(program+" "+s.verb+s.mode()+" --from DIR", "there is no package beside this program, and --from names none")
	}
	b, err := bundle.OpenRelease(s.m.FS.Real(machine.Release(sit.Release)))
	if err != nil {
		return nil, fmt.Errorf("%w; or name a package: %s install%s --from DIR", err, program, s.mode())
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
