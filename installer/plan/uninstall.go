package plan

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"ss-setup/installer/machine"
	"ss-setup/installer/receipt"
	"ss-setup/installer/step"
)

// The actions of uninstall.
const (
	ActionUninstall = "uninstall"
	ActionPurge     = "purge"
)

// ForUninstall proposes what uninstall does here.
func ForUninstall(s *Situation, o Options) (*Proposal, error) {
	if o.PurgeFiles && !o.Purge {
		return nil, fmt.Errorf("%w: --purge-files goes with --purge; run: ss-setup uninstall --purge --purge-files", ErrUsage)
	}
	if err := s.CheckLink(); err != nil {
		return nil, err
	}
	leftover := s.dataFrom() != 0 || len(s.Generations) > 0 || s.State.NextGeneration > 1 || (o.PurgeFiles && s.files)
	if !s.Installed() && (!o.Purge || !leftover) {
		return nil, fmt.Errorf("%w, so there is nothing to uninstall", ErrNothingInstalled)
	}
	p := &Proposal{Action: ActionUninstall, From: s.Version, Previous: s.Current}
	switch {
	case o.PurgeFiles:
		p.Action = ActionPurge
		p.Summary = "remove SS Server, its data and the files that users stored"
		p.Confirm = []Question{
			{Text: "Remove SS Server and all its data?", Explain: "Users, keys, settings, logs and receipts are deleted for good."},
			{
				Text:    "Delete the files that users stored in " + machine.FilesDir + " as well?",
				Explain: "Everything in " + machine.FilesDir + " and the key ring that encrypted files are read with are deleted for good.",
			},
		}
	case o.Purge:
		p.Action = ActionPurge
		p.Summary = "remove SS Server and its data; files that users stored stay"
		p.Notes = []string{"To delete what users stored too, run instead: ss-setup uninstall --purge --purge-files"}
		p.Confirm = []Question{{Text: "Remove SS Server and all its data?", Explain: "Users, keys, settings, logs and receipts are deleted for good. What users stored in " + machine.FilesDir + " stays."}}
	default:
		p.Summary = "remove SS Server; its data stay for a later install"
		p.Notes = []string{"To remove the data too, run afterwards: ss-setup uninstall --purge"}
	}
	if before := s.predecessor(); before != nil && (s.OldUnknown != nil || s.gone(before) == "") {
		p.Notes = append(p.Notes, fmt.Sprintf("Version %d, which was here before, stays stopped and disabled; to enable and start it: %s",
			before.Major, strings.Join(StartOldCommands(s.services.Name(), before.Services), " && ")))
	}
	p.Plan = uninstallPlan(s, o)
	return p.seal(o, s.Release)
}

func uninstallPlan(s *Situation, o Options) step.Plan {
	p := step.Plan{Verb: "uninstall"}
	add := func(steps ...step.Step) { p.Steps = append(p.Steps, steps...) }
	stop := func() {
		if o.Offline {
			return
		}
		add(&step.StopServices{Services: []string{machine.ServerService, machine.LicensedService}, Generation: s.Current})
	}

	stop()
	p.Gate, p.Commit = len(p.Steps), len(p.Steps)
	add(&step.BeginRemoval{})
	stop() // a machine that went down here may have started them again
	add(s.removePrograms(o)...)
	if !o.Purge {
		add(s.restoreFolders(machine.ProgramDir)...)
		add(step.NewRemoveTree(machine.OriginalsDir))
		add(&step.WriteState{Ended: s.Current, EndedBy: "uninstall", Kept: s.Current})
		return p
	}
	add(step.NewRemoveInstalled(s.setupPath(), s.receiptFingerprint(s.setupPath())))
	add(purgeData(s, o)...)
	add(s.restoreFolders(ourFolders...)...)
	add(&step.ForgetState{})
	return p
}

// removePrograms takes away what runs, and what is known of it to the system.
func (s *Situation) removePrograms(o Options) []step.Step {
	var out []step.Step
	if s.Installed() {
		out = append(out, removeDefinitions(s)...)
		out = append(out, removeCommands(s)...)
	}
	if machine.FallbackBinDir != machine.ProgramDir {
		out = append(out, step.NewRemoveTree(machine.FallbackBinDir))
	}
	out = append(out, step.NewRemoveInstalled(machine.Current, ""), step.NewRemoveTree(machine.GenerationsDir), step.NewRemoveTree(machine.ReleasesDir))
	if o.Offline {
		out = append(out, step.NewRemoveEmpty(machine.ProgramDir)) // elsewhere the engine's copy goes last, and the folder with it
	}
	if len(s.opened) > 0 {
		out = append(out, &step.CloseFirewall{Ports: s.opened})
	}
	return out
}

// restoreFolders gives back those of the folders that were there before.
func (s *Situation) restoreFolders(paths ...string) []step.Step {
	var out []step.Step
	for _, f := range s.State.ForeignFolders {
		if slices.Contains(paths, f.Path) {
			out = append(out, &step.RestoreFolder{Folder: f})
		}
	}
	return out
}

// receiptFingerprint is what the receipt tells that stands at path.
func (s *Situation) receiptFingerprint(path string) string {
	if s.Receipt == nil {
		return ""
	}
	for _, e := range s.Receipt.Files {
		if e.Path != path {
			continue
		}
		if e.Type == receipt.Link {
			return "link:" + e.Target
		}
		return e.SHA256
	}
	return ""
}

// vfsKeys are the keys of encrypted VFSs in the key ring. Without one the ring reads
// nothing that is left.
const vfsKeys = "vfs-*.key"

// purgeData removes what the product made. What users stored, and the key ring if it
// reads any of that, go only when asked for: such files may lie anywhere.
func purgeData(s *Situation, o Options) []step.Step {
	var out []step.Step
	files, keyring := step.NewRemoveEmpty(machine.FilesDir), step.NewRemoveUnless(machine.KeyringDir, vfsKeys)
	if o.PurgeFiles {
		files, keyring = step.NewRemoveTree(machine.FilesDir), step.NewRemoveTree(machine.KeyringDir)
	}
	out = append(out, files, step.NewRemoveTree(filepath.Join(machine.KeyringDir, "acme")), keyring)
	for _, g := range s.Generations {
		out = append(out, step.NewRemoveTree(machine.ServerData(g.Number)), step.NewRemoveTree(machine.LicensedData(g.Number)))
	}
	out = append(
		out,
		step.NewRemoveTree(machine.SnapshotsDir),
		step.NewRemoveInstalled(serverKey, ""),
		step.NewRemoveEmpty(machine.ServerStateDir),
		step.NewRemoveTree(machine.LicensedStateDir),
		step.NewRemoveTree(machine.ConfigDir),
		step.NewRemoveTree(machine.ServerLogDir),
		step.NewRemoveTree(machine.SetupLogDir),
	)
	for _, name := range s.ownAccounts() {
		out = append(out, &step.RemoveAccount{
			Name: name, Unless: accountFolders(name), KeepGroup: slices.Contains(s.State.ForeignGroups, name),
		})
	}
	return out
}
