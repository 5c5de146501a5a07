package step

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/trust"
	"ss-setup/installer/machine"
	"ss-setup/installer/receipt"
	"ss-setup/installer/txn"
)

// LoadState reads state.json; the zero state when there is none.
func LoadState(f *machine.FS) (receipt.State, error) {
	content, err := f.ReadFile(machine.StateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return receipt.NewState(), nil
	}
	if err != nil {
		return receipt.State{}, err
	}
	s, err := receipt.ParseState(content)
	if err != nil {
		return s, fmt.Errorf("read %s: %w", machine.StateFile, err)
	}
	return s, nil
}

// SaveState writes state.json.
func SaveState(f *machine.FS, s receipt.State) error {
	content, err := s.Marshal()
	if err != nil {
		return err
	}
	return f.WriteFile(machine.StateFile, content, machine.Attr{Mode: 0o600})
}

// ReserveGeneration takes a generation's number for good: numbers only grow and
// are never used again, even when the run that took one fails.
type ReserveGeneration struct {
	Generation int `json:"generation"`
}

type reserveUndo struct {
	Existed bool `json:"existed"`
}

// Kind implements Step.
func (s *ReserveGeneration) Kind() string { return "reserve_generation" }

func (s *ReserveGeneration) String() string { return fmt.Sprintf("take number %d", s.Generation) }

// Prepare notes whether there is a state to keep.
func (s *ReserveGeneration) Prepare(_ context.Context, m *Machine) (any, error) {
	return reserveUndo{Existed: m.FS.Exists(machine.StateFile)}, nil
}

// Do takes the number.
func (s *ReserveGeneration) Do(_ context.Context, m *Machine) error {
	state, err := LoadState(m.FS)
	if err != nil || state.NextGeneration > s.Generation {
		return err
	}
	state.NextGeneration = s.Generation + 1
	return SaveState(m.FS, state)
}

// Undo leaves no trace of a first install. A number taken later stays taken.
func (s *ReserveGeneration) Undo(_ context.Context, m *Machine, undo json.RawMessage) error {
	var u reserveUndo
	if err := json.Unmarshal(undo, &u); err != nil {
		return err
	}
	if err := m.FS.Remove(machine.StateFile + machine.TempSuffix); err != nil || u.Existed {
		return err
	}
	if err := m.FS.Remove(machine.StateFile); err != nil {
		return err
	}
	return m.FS.SyncDir(machine.SetupDir)
}

// WriteState records what has become of generations, after the commit.
type WriteState struct {
	noUndo
	// Generation is in force; 0 when nothing is installed any more.
	Generation int `json:"generation"`
	// Ended, when not 0, is the generation that was in force before.
	Ended   int    `json:"from_generation,omitempty"`
	EndedBy string `json:"ended_by,omitempty"`
	// Kept, when not 0, is the generation whose data an uninstall keeps.
	Kept int `json:"kept_generation,omitempty"`
	// ForeignAccounts were there before a first install.
	ForeignAccounts []string `json:"foreign_accounts,omitempty"`
	// ForeignGroups likewise.
	ForeignGroups []string `json:"foreign_groups,omitempty"`
	// ForeignFolders likewise.
	ForeignFolders []receipt.Folder `json:"foreign_folders,omitempty"`
	// Forgotten are generations that are gone.
	Forgotten []int `json:"generations,omitempty"`
	// Forgiven are releases that failed before and that this one is, or comes after.
	Forgiven []string `json:"forgiven,omitempty"`
}

// Kind implements Step.
func (s *WriteState) Kind() string { return "write_state" }

func (s *WriteState) String() string { return "record the state of the generations" }

// Do writes the state.
func (s *WriteState) Do(_ context.Context, m *Machine) error {
	state, err := LoadState(m.FS)
	if err != nil {
		return err
	}
	state.NextGeneration = max(state.NextGeneration, s.Generation+1, s.Ended+1, s.Kept+1)
	state.Installed = s.Generation != 0
	state.KeptData = s.Kept
	if len(s.ForeignAccounts) > 0 {
		state.ForeignAccounts = s.ForeignAccounts
	}
	if len(s.ForeignFolders) > 0 {
		state.ForeignFolders = s.ForeignFolders
	}
	if len(s.ForeignGroups) > 0 {
		state.ForeignGroups = s.ForeignGroups
	}
	if s.Generation != 0 {
		state.Revive(s.Generation)
		state.Forgive(ReleaseOf(m.FS, s.Generation))
	}
	for _, release := range s.Forgiven {
		state.Forgive(release)
	}
	if s.Ended != 0 {
		state.End(s.Ended, s.EndedBy, m.Now())
	}
	for _, n := range s.Forgotten {
		state.Forget(n)
	}
	if err := SaveState(m.FS, state); err != nil || s.Generation == 0 {
		return err
	}
	return recordTrust(m.FS, ReleaseOf(m.FS, s.Generation))
}

// recordTrust makes the machine remember the metadata that its release was trusted
// by, unless it knows newer ones: a rollback is told by what was seen before.
func recordTrust(f *machine.FS, release string) error {
	evidence, err := f.ReadFile(filepath.Join(machine.Release(release), bundle.EvidenceName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	before, err := f.ReadFile(machine.TrustFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return SaveTrust(f, before, evidence)
}

// SaveTrust keeps the later of two encoded trust.Seen, before being what is kept now.
func SaveTrust(f *machine.FS, before, now []byte) error {
	later := trust.Later(before, now)
	if bytes.Equal(later, before) {
		return nil
	}
	return f.WriteFile(machine.TrustFile, later, machine.Attr{Mode: 0o600})
}

// Undo is never called: the step stands after the commit.
func (s *WriteState) Undo(context.Context, *Machine, json.RawMessage) error { return nil }

// ForgetState removes the receipts and the state, at the end of a purge.
type ForgetState struct{ noUndo }

// Kind implements Step.
func (s *ForgetState) Kind() string { return "forget_state" }

func (s *ForgetState) String() string { return "remove the receipts" }

// Do removes them. The journal's folder goes last, with the journal.
func (s *ForgetState) Do(_ context.Context, m *Machine) error {
	if err := removeTrees(m.FS, machine.ReceiptsDir, machine.OriginalsDir); err != nil {
		return err
	}
	for _, file := range []string{machine.StateFile, machine.TrustFile, machine.UpdatesFile} {
		for _, p := range []string{file, file + machine.TempSuffix} {
			if err := m.FS.Remove(p); err != nil {
				return err
			}
		}
	}
	if err := removeTrees(m.FS, machine.DownloadDir); err != nil {
		return err
	}
	return m.FS.SyncDir(machine.SetupDir)
}

// Undo is never called: the step stands after the commit.
func (s *ForgetState) Undo(context.Context, *Machine, json.RawMessage) error { return nil }

// WriteReceipt writes what is installed, after the commit.
type WriteReceipt struct {
	noUndo
	Verb       string          `json:"verb"`
	Generation int             `json:"generation"`
	Previous   int             `json:"from_generation"`
	Version    string          `json:"version"`
	Release    string          `json:"release"`
	Digest     string          `json:"digest"`
	Options    json.RawMessage `json:"options,omitempty"`
	Offline    bool            `json:"offline,omitempty"`
	ManagedBy  string          `json:"managed_by,omitempty"`
	Services   []ServiceEntry  `json:"services"`
	Accounts   []string        `json:"accounts"`
	// Files are the files and links outside the release folder; Folders those made.
	Files  []string `json:"files"`
	Config []string `json:"config"`
	// Setup is the ss-setup that this run installs, among Files. It is large, and
	// hashing it once more would take as long as unpacking the release.
	Setup   InstalledSetup `json:"setup,omitzero"`
	Folders []string       `json:"folders"`
	// Predecessor is the older product that serves again when this and all generations
	// before it are gone back from.
	Predecessor json.RawMessage `json:"predecessor,omitempty"`
}

// InstalledSetup is where a run puts ss-setup, and its digest.
type InstalledSetup struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

// ServiceEntry is one service of an installation.
type ServiceEntry struct {
	Name    string `json:"name"`
	User    string `json:"user"`
	Enabled bool   `json:"enabled"`
}

// Kind implements Step.
func (s *WriteReceipt) Kind() string { return "write_receipt" }

func (s *WriteReceipt) String() string { return "write the receipt" }

// Do writes the receipt.
func (s *WriteReceipt) Do(_ context.Context, m *Machine) error {
	plan, err := txn.PlanOf(m.FS, machine.TxnDir)
	if err != nil {
		return err
	}
	before, err := s.predecessor(m)
	if err != nil {
		return err
	}
	r := receipt.Receipt{
		Schema: receipt.Schema, Generation: s.Generation, Version: s.Version, Release: s.Release,
		ManifestDigest: s.Digest, Previous: s.Previous, Created: m.Now().UTC(), Verb: s.Verb, Options: s.Options,
		Offline: s.Offline, ManagedBy: s.ManagedBy, Plan: plan, Accounts: s.Accounts,
		Predecessor: before,
	}
	if r.Services, err = s.services(m); err != nil {
		return err
	}
	if r.Files, err = s.entries(m); err != nil {
		return err
	}
	if r.Originals, err = listOriginals(m.FS); err != nil {
		return err
	}
	content, err := r.Marshal()
	if err != nil {
		return err
	}
	return m.FS.WriteFile(machine.Receipt(s.Generation), content, machine.Attr{Mode: 0o600})
}

// predecessor is that of the plan, with where it served when it was stopped.
func (s *WriteReceipt) predecessor(m *Machine) (json.RawMessage, error) {
	if len(s.Predecessor) == 0 {
		return nil, nil
	}
	left, err := leftOld(m)
	if err != nil || left.none() {
		return s.Predecessor, err
	}
	var before map[string]json.RawMessage
	if err := json.Unmarshal(s.Predecessor, &before); err != nil {
		return nil, err
	}
	if before[ServedKey], err = json.Marshal(left.Served); err != nil {
		return nil, err
	}
	return json.Marshal(before)
}

// ServedKey is where a predecessor in a receipt tells where it served.
const ServedKey = "served"

// services are those of the plan, with the accounts that their entries have, where
// there are entries: an administrator may have chosen others.
func (s *WriteReceipt) services(m *Machine) ([]receipt.Service, error) {
	var out []receipt.Service
	for _, svc := range s.Services {
		if m.Registrar != nil {
			r, err := m.Registrar.Registered(svc.Name)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			if r.Account != "" && !strings.EqualFold(r.Account, allMighty) {
				svc.User = r.Account
			}
		}
		out = append(out, receipt.Service(svc))
	}
	return out, nil
}

func (s *WriteReceipt) entries(m *Machine) ([]receipt.Entry, error) {
	paths := slices.Concat(s.Files, s.Config, s.Folders)
	release, digests, err := releaseFiles(m.FS, machine.Release(s.Release))
	if err != nil {
		return nil, err
	}
	if s.Setup.Path != "" {
		digests[s.Setup.Path] = s.Setup.SHA256
	}
	var out []receipt.Entry
	for _, p := range append(release, paths...) {
		e, err := entryOf(m, p, digests[p])
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		e.Config = slices.Contains(s.Config, p)
		out = append(out, e)
	}
	return out, nil
}

// releaseFiles lists the files of a release folder, and the digests that its
// manifest gives them.
func releaseFiles(f *machine.FS, dir string) (paths []string, digests map[string]string, err error) {
	raw, err := f.ReadFile(filepath.Join(dir, bundle.ManifestName))
	if err != nil {
		return nil, nil, err
	}
	manifest, err := bundle.Parse(raw)
	if err != nil {
		return nil, nil, err
	}
	paths = []string{filepath.Join(dir, bundle.ManifestName), filepath.Join(dir, bundle.PayloadName)}
	digests = map[string]string{
		paths[0]: bundle.Digest(raw),
		paths[1]: manifest.Payload.SHA256,
	}
	for _, file := range manifest.Files {
		path := filepath.Join(dir, file.Path)
		paths = append(paths, path)
		digests[path] = file.SHA256
	}
	if evidence := filepath.Join(dir, bundle.EvidenceName); f.Exists(evidence) {
		paths = append(paths, evidence)
	}
	return paths, digests, nil
}

// EntryOf describes what stands at a path as a receipt does.
func EntryOf(m *Machine, path string) (receipt.Entry, error) { return entryOf(m, path, "") }

// entryOf is EntryOf with the digest that is meant to be there, where it is known.
func entryOf(m *Machine, path, sum string) (receipt.Entry, error) {
	info, err := m.FS.Lstat(path)
	if err != nil {
		return receipt.Entry{}, err
	}
	uid, gid := machine.Owner(info)
	user, group := m.Accounts.LookupID(uid, gid)
	e := receipt.Entry{Path: path, Owner: user, Group: group, Mode: fmt.Sprintf("%04o", info.Mode().Perm())}
	switch {
	case info.IsDir():
		e.Type = receipt.Dir
	case info.Mode()&fs.ModeSymlink != 0:
		e.Type, e.Mode = receipt.Link, ""
		e.Target, err = m.FS.Readlink(path)
	case !info.Mode().IsRegular():
		e.Type = receipt.File // with no content: a pipe or device that somebody put there
	default:
		e.Type, e.Size, e.SHA256 = receipt.File, info.Size(), sum
		if sum == "" {
			e.SHA256, err = fileDigest(m.FS, path)
		}
	}
	return e, err
}

func listOriginals(f *machine.FS) ([]receipt.Original, error) {
	entries, err := f.ReadDir(machine.OriginalsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []receipt.Original
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".json" {
			continue
		}
		content, err := f.ReadFile(filepath.Join(machine.OriginalsDir, e.Name()))
		if err != nil {
			return nil, err
		}
		var o original
		if err := json.Unmarshal(content, &o); err != nil {
			return nil, fmt.Errorf("read %s: %w", e.Name(), err)
		}
		out = append(out, receipt.Original{Path: o.Path, Saved: o.Saved})
	}
	return out, nil
}

// Undo is never called: the step stands after the commit.
func (s *WriteReceipt) Undo(context.Context, *Machine, json.RawMessage) error { return nil }
