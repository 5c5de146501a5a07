package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"ss-setup/installer/machine"
	"ss-setup/installer/plan"
	"ss-setup/installer/receipt"
)

// What differs when the scripts of a package call: nothing is started where
// nothing can or may be, the receipt names the package manager, and what is
// printed suits its output, which is often kept for ever.

// decideStart finds out whether this run starts services. Only packages and
// --no-start ask: a person on a machine without an init system is told so.
func (s *session) decideStart(f *machine.FS) {
	packaged := s.options.ManagedBy != ""
	if s.root != "" || !packaged && !s.noStart {
		return
	}
	s.idle = !machine.InitRuns(f)
	s.forbidden = packaged && s.verb == "install" &&
		!machine.MayStart(context.Background(), f, machine.LicensedService, machine.ServerService)
	s.options.Offline = s.idle || s.noStart || s.forbidden
}

// unlessServing keeps a run that may start nothing from changing what runs: it
// would have to be stopped, and could not be started again.
func (s *session) unlessServing(sit *plan.Situation, p *plan.Proposal) (*plan.Proposal, error) {
	if !s.options.Offline {
		return p, nil
	}
	for _, name := range []string{machine.ServerService, machine.LicensedService} {
		if !sit.Services[name].Active {
			continue
		}
		if !s.forbidden {
			words := slices.DeleteFunc(slices.Clone(s.args), func(a string) bool { return a == "--no-start" })
			return nil, usagef(again(words...), "%s runs, and --no-start could not start it again", name)
		}
		return &plan.Proposal{
			Action: plan.ActionSame, Nothing: true, From: sit.Version, Generation: sit.Current,
			Summary: fmt.Sprintf("SS Server %s goes on serving: %s forbids to start services, and an update has to; when they may be started, run: %s install --update --yes",
				sit.Version, machine.PolicyFile, filepath.Join(ownFolder(), program)),
		}, nil
	}
	return p, nil
}

// noteManager writes into the receipt of what is installed whose it is now, when
// a package finds that there is nothing else to do.
func (s *session) noteManager(generation int) error {
	if s.options.ManagedBy == "" || generation == 0 || s.planOnly {
		return nil
	}
	path := machine.Receipt(generation)
	content, err := s.m.FS.ReadFile(path)
	if err != nil {
		return fmt.Errorf("note that %s manages SS Server: %w; run: %s install --repair", s.options.ManagedBy, err, program)
	}
	r, err := receipt.Parse(content)
	if err != nil {
		return fmt.Errorf("note that %s manages SS Server: %s: %w; run: %s install --repair", s.options.ManagedBy, path, err, program)
	}
	if r.ManagedBy == s.options.ManagedBy {
		return nil
	}
	r.ManagedBy = s.options.ManagedBy
	if content, err = r.Marshal(); err != nil {
		return err
	}
	return s.m.FS.WriteFile(path, content, machine.Attr{Mode: 0o600})
}

// packageLines prints what belongs into the output of a package manager: what is
// wrong, how it ended and what is next. No setup code: such output is kept.
type packageLines struct{ out, err io.Writer }

func (p *packageLines) show(e Event) {
	if e.Level != levelInfo {
		showText(p.err, p.err, e)
		return
	}
	if e.Event != eventResult {
		return
	}
	fmt.Fprintln(p.out, sentence(e.Message))
	if len(e.URLs) > 0 && e.Fresh {
		fmt.Fprintf(p.out, "Set it up at %s with a code made by: %s\n", e.URLs[0], e.NewCode)
	}
	if e.LicenseServer != "" {
		fmt.Fprintf(p.out, "License server %s: %s\n", e.LicenseServer, e.LicenseState)
	}
}
