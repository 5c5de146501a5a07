package plan

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"ss-setup/installer/machine"
	"ss-setup/installer/move"
	"ss-setup/installer/receipt"
	"ss-setup/installer/step"
)

// The actions of move-out: leaving, and staying after all.
const (
	ActionMoveOut = "move-out"
	ActionStay    = "stay"
)

// Leaving is what a machine gives its place to another with.
type Leaving struct {
	// Folder is where what moves is put.
	Folder string
	// Addresses are where the web interface is reached, for the new machine to see whether
	// the old one still serves.
	Addresses []string
	// Services say how the services start now.
	Services []machine.Startup
}

// ownServices are the services of the product, the one that users see first.
var ownServices = []string{machine.ServerService, machine.LicensedService}

// noLicenses is said of the steps of a move that this release does not have.
const noLicenses = "Licenses: this release activates none, so there is nothing to deactivate and nothing to activate. From the release on that has licenses, deactivate here before, and activate on the new machine before its data come."

// ForMoveOut proposes to stop serving for good, and to put what moves into a folder.
func ForMoveOut(s *Situation, l Leaving, o Options) (*Proposal, error) {
	if err := s.CheckLink(); err != nil {
		return nil, err
	}
	switch {
	case o.Offline:
		return nil, fmt.Errorf("%w: a server moves out of a machine that runs; leave out --root", ErrUsage)
	case !s.Installed():
		return nil, fmt.Errorf("%w, so nothing can move out", ErrNothingInstalled)
	}
	if moved := s.State.Moved; moved != nil {
		return &Proposal{
			Action: ActionMoveOut, Nothing: true, From: s.Version, Generation: s.Current,
			Summary: fmt.Sprintf("%s; to serve here again run: ss-setup move-out --cancel", movedOut(moved)),
		}, nil
	}
	p := &Proposal{
		Action: ActionMoveOut, From: s.Version, To: s.Version, Generation: s.Current,
		Summary: fmt.Sprintf("stop SS Server %s on this machine for good, and put what moves into %s", s.Version, l.Folder),
		Notes:   []string{"The files of users are not copied: " + l.Folder + " tells the new machine how many there are.", noLicenses},
		GoBack:  "ss-setup move-out --cancel",
		Confirm: []Question{{
			Text:    "Stop serving users on this machine, until the new one does?",
			Explain: "Both services are stopped, also at boot. Nothing is deleted, and ss-setup move-out --cancel lets this machine serve again.",
		}},
	}
	plan := step.Plan{Verb: "move-out", Steps: []step.Step{
		&step.StopServices{Services: ownServices, Generation: s.Current},
		&step.DisableServices{Services: ownServices},
		&step.PackMove{
			Folder: l.Folder, Release: s.Release, Generation: s.Current, Version: s.Version, Addresses: l.Addresses,
			Account: cmp.Or(s.serverUser(), o.serverAccount()),
		},
	}}
	plan.Gate, plan.Commit = len(plan.Steps), len(plan.Steps)
	plan.Steps = append(plan.Steps, &step.NoteMove{Folder: l.Folder, Services: l.Services})
	p.Plan = plan
	return p.seal(o, s.Release)
}

// ForStaying proposes that a machine that has moved out serves again.
func ForStaying(s *Situation, o Options) (*Proposal, error) {
	if err := s.CheckLink(); err != nil {
		return nil, err
	}
	moved := s.State.Moved
	switch {
	case !s.Installed():
		return nil, fmt.Errorf("%w, so nothing can serve again", ErrNothingInstalled)
	case moved == nil:
		return &Proposal{Action: ActionStay, Nothing: true, From: s.Version, Generation: s.Current, Summary: "this machine has not moved out"}, nil
	}
	var services []machine.Startup
	if err := json.Unmarshal(moved.Services, &services); err != nil {
		return nil, fmt.Errorf("%w: %s does not say how the services started: %w", ErrDamaged, machine.StateFile, err)
	}
	p := &Proposal{
		Action: ActionStay, From: s.Version, To: s.Version, Generation: s.Current,
		Summary: "serve on this machine again, with what it had when it moved out",
		Confirm: []Question{{
			Text:    "Let this machine serve users again?",
			Explain: movedOut(moved) + ". If the new machine serves users already, both do, and what is stored or changed on one of them is not on the other. Stop the new one first.",
		}},
	}
	run := []string{}
	for _, service := range services {
		if service.Active {
			run = append(run, service.Service)
		}
	}
	plan := step.Plan{Verb: "move-out", Steps: []step.Step{&step.EnableServices{Services: services}}}
	if len(run) > 0 {
		plan.Steps = append(plan.Steps, &step.StartServices{Services: run}, &step.WaitHealth{Services: run, Generation: s.Current, Version: s.Version})
	}
	plan.Gate, plan.Commit = len(plan.Steps), len(plan.Steps)
	plan.Steps = append(plan.Steps, &step.NoteMove{Back: true})
	p.Plan = plan
	return p.seal(o, s.Release)
}

// movedOut says when a machine moved out.
func movedOut(m *receipt.Moved) string {
	return fmt.Sprintf("this machine moved out on %s into %s", m.At.Format(time.DateOnly+" 15:04 MST"), m.Folder)
}

// Moving is what comes to a machine from another.
type Moving struct {
	Host  string `json:"host"`
	Files []File `json:"files,omitempty"`
}

// File is a configuration file of the old machine.
type File struct {
	// Name is its path below the configuration folder, with slashes.
	Name   string      `json:"name"`
	SHA256 string      `json:"sha256"`
	Mode   fs.FileMode `json:"mode"`
	// Owner and Group are those of package move.
	Owner string `json:"owner,omitempty"`
	Group string `json:"group,omitempty"`
}

// movedConfig are the configuration files that come from another machine, before those that
// a first install writes where there are none.
func (i *install) movedConfig() []step.Step {
	if i.o.Moving == nil || i.imports() == "" {
		return nil
	}
	var out []step.Step
	for _, f := range i.o.Moving.Files {
		path := filepath.Join(machine.ConfigDir, filepath.FromSlash(f.Name))
		out = append(out, step.NewPlaceFile(path, f.Name, f.SHA256, i.movedOwner(f.Owner), i.movedOwner(f.Group), f.Mode))
	}
	return out
}

// movedOwner is whose a file becomes here: what was not the server's is root's.
func (i *install) movedOwner(was string) string {
	if was == move.OwnerServer {
		return i.account
	}
	return move.OwnerRoot
}

// checkMoved looks whether an install would have a machine serve again that has moved out.
// What it takes to say so is asked; an update leaves it stopped.
func (s *Situation) checkMoved(action string, p *Proposal) error {
	moved := s.State.Moved
	if moved == nil {
		return nil
	}
	switch action {
	case ActionSame:
		p.Summary += "; " + movedOut(moved) + "; to serve here again run: ss-setup move-out --cancel"
	case ActionUpdate, ActionRebuild:
		p.Notes = append(p.Notes, strings.ToUpper(movedOut(moved)[:1])+movedOut(moved)[1:]+", and stays stopped.")
	case ActionRepair:
		return fmt.Errorf("%w: %s, and a repair would let it serve again at the next boot; to serve here again run: ss-setup move-out --cancel", ErrUsage, movedOut(moved))
	default:
		p.Confirm = append(p.Confirm, Question{
			Text:    "Let this machine serve users again?",
			Explain: movedOut(moved) + ". If the new machine serves users already, both do, and what is stored or changed on one of them is not on the other.",
		})
	}
	return nil
}

// servesAgain notes that a machine that has moved out serves again.
func (i *install) servesAgain() []step.Step {
	if i.s.State.Moved == nil || i.updates() {
		return nil
	}
	return []step.Step{&step.NoteMove{Back: true}}
}
