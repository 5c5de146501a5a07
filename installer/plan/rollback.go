package plan

import (
	"fmt"
	"path/filepath"
	"strings"

	"ss-setup/installer/machine"
	"ss-setup/installer/receipt"
	"ss-setup/installer/step"
)

// ActionRollback is the action of rollback.
const ActionRollback = "rollback"

// ForRollback proposes going back to the generation before. CheckTarget tells
// whether that could serve.
func ForRollback(s *Situation, o Options) (*Proposal, error) {
	if err := s.CheckLink(); err != nil {
		return nil, err
	}
	if !s.Installed() {
		return nil, fmt.Errorf("%w, so there is nothing to go back from", ErrNothingInstalled)
	}
	target, ok := s.previous()
	if before := s.predecessor(); !ok && before != nil {
		return rollbackToOld(s, before, o)
	}
	if !ok {
		return nil, fmt.Errorf("%w: generation %d has none before it to go back to%s", ErrNothingInstalled, s.Current, s.others())
	}
	p := &Proposal{
		Action: ActionRollback, From: s.Version, To: target.Version, Generation: target.Number, Previous: s.Current,
		Summary: fmt.Sprintf("go back from SS Server %s (generation %d) to %s (generation %d)", s.Version, s.Current, target.Version, target.Number),
		Confirm: []Question{{
			Text: fmt.Sprintf("Go back to SS Server %s with its data of that time?", target.Version),
			Explain: fmt.Sprintf("What was changed since - users, passwords, keys, rights - is not served any more. It stays in generation %d until ss-setup forget %d.",
				s.Current, s.Current),
		}},
	}
	p.Plan = rollbackPlan(s, target, o)
	return p.seal(o, target.Release)
}

// rollbackToOld proposes going back to the older product that the first generation took
// over from. Version 7 goes as by an uninstall that keeps its data.
func rollbackToOld(s *Situation, before *Predecessor, o Options) (*Proposal, error) {
	if s.OldUnknown != nil {
		return nil, fmt.Errorf("look for version %d, which was here before: %w", before.Major, s.OldUnknown)
	}
	if gone := s.gone(before); gone != "" {
		return nil, fmt.Errorf("%w: version %d was here before, but its service %s is gone, so there is nothing to go back to", ErrNothingInstalled, before.Major, gone)
	}
	start := before.starting()
	if len(start.Services)+len(start.Others) == 0 {
		return nil, fmt.Errorf("%w: version %d neither ran nor started with the machine before, so there is nothing to go back to%s",
			ErrNothingInstalled, before.Major, startOld(s.services.Name(), before.Services))
	}
	p := &Proposal{
		Action: ActionRollback, From: s.Version, To: fmt.Sprint(before.Major), Previous: s.Current,
		Summary: fmt.Sprintf("go back from SS Server %s (generation %d) to version %d", s.Version, s.Current, before.Major),
		Notes:   []string{fmt.Sprintf("What was changed since the upgrade - users, passwords, keys, rights - is not known to version %d. Files that users stored stay where they are.", before.Major)},
		Confirm: []Question{{
			Text: fmt.Sprintf("Go back to version %d as it was at the upgrade?", before.Major),
			Explain: fmt.Sprintf("SS Server %s is stopped and removed; its data stay as generation %d until ss-setup forget %d. Version %d starts again, now and with the machine.",
				s.Version, s.Current, s.Current, before.Major),
		}},
	}
	if before.stoodStill() {
		p.Notes = append(p.Notes, fmt.Sprintf("Version %d did not run at the upgrade, but was to start with the machine: %s is started now.", before.Major, strings.Join(start.Services, " and ")))
	}
	if err := s.checkMoved(ActionRollback, p); err != nil {
		return nil, err
	}
	p.Plan = rollbackToOldPlan(s, before, start, o)
	return p.seal(o, s.Release)
}

func rollbackToOldPlan(s *Situation, before *Predecessor, start *step.StartOld, o Options) step.Plan {
	p := step.Plan{Verb: "rollback"}
	add := func(steps ...step.Step) { p.Steps = append(p.Steps, steps...) }
	own := []string{machine.ServerService, machine.LicensedService}
	add(&step.StopServices{Services: own, Generation: s.Current})
	add(&step.DisableServices{Services: own}, &step.EnableServices{Services: before.Services})
	p.Gate = len(p.Steps)
	add(&step.LeaveGeneration{From: s.Current}, start)
	p.Commit = len(p.Steps)
	if s.State.Moved != nil {
		add(&step.NoteMove{Back: true})
	}
	add(&step.BeginRemoval{})
	add(&step.StopServices{Services: own}) // a machine that went down here may have started them again
	add(s.removePrograms(o)...)
	add(s.restoreFolders(machine.ProgramDir)...)
	add(step.NewRemoveTree(machine.OriginalsDir), step.NewRemoveTree(machine.ImportedDir))
	add(&step.WriteState{Ended: s.Current, EndedBy: ActionRollback, Kept: s.Current})
	return p
}

// others says why the other generations that status lists are no way back.
func (s *Situation) others() string {
	text := ""
	for _, g := range s.Generations {
		switch {
		case g.Current:
		case g.DataOnly:
			text += fmt.Sprintf("; of generation %d only the data are here", g.Number)
		case g.Number > s.Current:
			text += fmt.Sprintf("; generation %d came later: to go forward install its release (%s)", g.Number, g.Version)
		default:
			text += fmt.Sprintf("; generation %d was set aside", g.Number)
		}
	}
	return text
}

// previous is the generation that the one in force came from, if it can still run.
// When the receipt that names it is lost, it is taken to be the newest before it
// that served.
func (s *Situation) previous() (GenerationInfo, bool) {
	current, _ := s.generation(s.Current)
	number := current.Previous
	if s.Receipt == nil {
		for _, g := range s.Generations {
			if g.Number < s.Current && g.Open && !g.DataOnly {
				number = max(number, g.Number)
			}
		}
	}
	g, ok := s.generation(number)
	return g, ok && !g.DataOnly
}

func rollbackPlan(s *Situation, target GenerationInfo, o Options) step.Plan {
	p := step.Plan{Verb: "rollback"}
	add := func(steps ...step.Step) { p.Steps = append(p.Steps, steps...) }
	run := []string{}
	for _, name := range []string{machine.LicensedService, machine.ServerService} {
		if state := s.Services[name]; (state.Active || state.Failed) && !state.Masked && !o.Offline {
			run = append(run, name)
		}
	}

	add(&step.CloseGeneration{Generation: target.Number})
	if len(run) > 0 {
		add(&step.StopServices{Services: run, Generation: s.Current})
	}
	for _, service := range []string{machine.ServerService, machine.LicensedService} {
		// The newer store may be the reason for going back, so it may be missing.
		add(&step.HoldStore{Store: step.Store{Service: service, From: s.Current, To: target.Number}, Optional: true})
	}
	add(announce(target.Version)...)
	p.Gate = len(p.Steps)
	add(&step.SwitchGeneration{From: s.Current, To: target.Number})
	if len(run) > 0 {
		add(&step.StartServices{Services: run})
	}
	add(&step.WaitHealth{Services: run, Generation: target.Number, Version: target.Version, From: s.served()})
	p.Commit = len(p.Steps)
	add(&step.OpenGeneration{Generation: target.Number})
	if r := s.receiptAfterRollback(target, o); r != nil {
		add(r)
	}
	add(&step.WriteState{Generation: target.Number, Ended: s.Current, EndedBy: "rollback"})
	return p
}

// receiptAfterRollback describes what is installed afterwards: the older release,
// with ss-setup and the service definitions of the newer one, which never go back.
func (s *Situation) receiptAfterRollback(target GenerationInfo, o Options) step.Step {
	if s.Receipt == nil || target.digest == "" {
		return nil
	}
	w := &step.WriteReceipt{
		Verb: "rollback", Generation: target.Number, Previous: target.Previous, Version: target.Version,
		Release: target.Release, Digest: target.digest, Offline: o.Offline, Accounts: s.Receipt.Accounts,
		ManagedBy: s.managedBy(), Predecessor: s.Receipt.Predecessor,
	}
	for _, svc := range s.Receipt.Services {
		w.Services = append(w.Services, step.ServiceEntry(svc))
	}
	for _, e := range s.Receipt.Files {
		switch {
		case strings.HasPrefix(e.Path, machine.ReleasesDir+string(filepath.Separator)):
		case e.Type == receipt.Dir:
			w.Folders = append(w.Folders, e.Path)
		case e.Config:
			w.Config = append(w.Config, e.Path)
		default:
			w.Files = append(w.Files, e.Path)
		}
	}
	return w
}

// ForForget proposes removing a generation that was set aside.
func ForForget(s *Situation, n int) (*Proposal, error) {
	g, ok := s.generation(n)
	if !ok {
		return nil, fmt.Errorf("%w: there is no generation %d; ss-setup status lists them", ErrNothingInstalled, n)
	}
	if g.Current {
		return nil, fmt.Errorf("%w: generation %d is in force; only one that was set aside can be forgotten", ErrUsage, n)
	}
	p := &Proposal{
		Action: "forget", Generation: n, Summary: fmt.Sprintf("remove generation %d for good", n),
		Confirm: []Question{{
			Text:    fmt.Sprintf("Remove generation %d and its data for good?", n),
			Explain: "Its users, keys and settings cannot be brought back afterwards.",
		}},
	}
	p.Plan = step.Plan{Verb: "forget", Steps: []step.Step{
		&step.BeginRemoval{},
		&step.WriteState{Generation: s.Current, Kept: keptUnless(s, n), Forgotten: []int{n}},
		&step.Collect{Generations: []int{n}},
	}}
	return p.seal(Options{}, g.Release)
}

func keptUnless(s *Situation, n int) int {
	if s.State.KeptData == n {
		return 0
	}
	return s.State.KeptData
}
