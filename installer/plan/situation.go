package plan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ss-setup/installer/bundle"
	"ss-setup/installer/machine"
	"ss-setup/installer/receipt"
	"ss-setup/installer/step"
	"ss-setup/installer/txn"
	"ss-setup/runtime/config"
)

// Situation is what is on the machine.
type Situation struct {
	// Current is the generation in force; 0 when there is none.
	Current int
	// Damaged says what of the generation in force is gone without which it cannot
	// serve; empty when nothing is.
	Damaged string
	// Missing are the files of the release in force that are not there.
	Missing []string
	// Lost is the generation in force by the state and the receipts when the link
	// that names it is gone; 0 otherwise.
	Lost int
	// Receipt of the generation in force; nil when there is none or it cannot be read.
	Receipt     *receipt.Receipt
	State       receipt.State
	Version     string
	Release     string
	Digest      string
	Generations []GenerationInfo
	Services    map[string]machine.ServiceState
	// Interrupted is the open transaction, if there is one.
	Interrupted *txn.Status
	OldVersions []OldVersion
	// OldUnknown is why OldVersions could not be looked for; nil when they were. It is in
	// the way of nothing but what needs to know them.
	OldUnknown error

	services machine.Services
	// current is where the link current lies as this system sees it.
	current string
	bin     string
	// config: there are configuration files already.
	config bool
	// configured and licensePort are the ports in it, 0 when they cannot be read.
	configured, licensePort int
	// accounts are those of our names that exist and that no install made.
	accounts []string
	// groups likewise.
	groups []string
	// opened are the ports that installs opened in the host's firewall.
	opened []int
	// folders are those of ours that are there and that no purge left.
	folders []receipt.Folder
	// files: an account that an install made is there, and users' files or a key ring.
	files bool
}

// GenerationInfo describes one generation.
type GenerationInfo struct {
	Number   int       `json:"number"`
	Release  string    `json:"release,omitempty"`
	Version  string    `json:"version,omitempty"`
	Created  time.Time `json:"created,omitzero"`
	Size     int64     `json:"size"`
	Open     bool      `json:"open"`
	Current  bool      `json:"current"`
	EndedBy  string    `json:"ended_by,omitempty"`
	Previous int       `json:"previous,omitempty"`
	// DataOnly: an uninstall kept the data; there is no release to run it with.
	DataOnly bool `json:"data_only,omitempty"`

	digest string
	// receipt: it has one that can be read. predecessor is what that says of an older product.
	receipt     bool
	predecessor json.RawMessage
}

// Installed tells whether a release is in force.
func (s *Situation) Installed() bool { return s.Current != 0 }

// Look reads what is on the machine. It changes nothing.
func Look(ctx context.Context, m *step.Machine) (*Situation, error) {
	s := &Situation{Services: map[string]machine.ServiceState{}, services: m.Services, current: m.FS.Real(machine.Current)}
	var err error
	if s.Current, err = step.CurrentGeneration(m.FS); err != nil {
		return nil, err
	}
	if s.State, err = step.LoadState(m.FS); err != nil {
		return nil, err
	}
	if s.Interrupted, err = txn.Open(m.FS, machine.TxnDir); err != nil {
		return nil, err
	}
	if s.Generations, err = generations(m, s); err != nil {
		return nil, err
	}
	s.Lost = lost(s)
	if err := s.installed(m.FS); err != nil {
		return nil, err
	}
	for _, name := range []string{machine.ServerService, machine.LicensedService} {
		if s.Services[name], err = m.Services.State(ctx, name); err != nil {
			return nil, fmt.Errorf("ask for the state of %s: %w", name, err)
		}
	}
	if s.OldVersions, s.OldUnknown = oldVersions(ctx, m); ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	s.bin = binDir(m.FS)
	s.config = m.FS.Exists(serverConfig)
	s.configured, s.licensePort = webPort(m.FS), licensePort(m.FS)
	s.files = hasFiles(m.FS)
	if s.opened, err = step.OpenedPorts(m.FS); err != nil {
		return nil, err
	}
	for _, path := range ourFolders {
		if f, ok := step.FolderAt(m.FS, path); ok && !leftByPurge(m, f) {
			s.folders = append(s.folders, f)
		}
	}
	return s, s.foreign(m)
}

// lost finds the generation that was in force when no link says so: the newest of
// those that no verb has ended, or of all that served when the state is of no help.
// What an uninstall left, or a run that is still open, is not lost.
func lost(s *Situation) int {
	if s.Current != 0 || s.Interrupted != nil {
		return 0
	}
	inUse, served := 0, 0
	for _, g := range s.Generations {
		if !g.Open && !(s.State.Installed && g.digest != "") || g.DataOnly && !s.State.Installed {
			continue
		}
		served = max(served, g.Number)
		if g.EndedBy == "" {
			inUse = max(inUse, g.Number)
		}
	}
	if inUse != 0 {
		return inUse
	}
	return served
}

func webPort(f *machine.FS) int {
	c, _, found, err := config.LoadServer(f.Real(serverConfig))
	if err != nil || !found {
		return 0
	}
	return portOf(c.ProbeAddr())
}

func licensePort(f *machine.FS) int {
	c, _, found, err := config.LoadLicensed(f.Real(licensedConfig))
	if err != nil || !found {
		return 0
	}
	return portOf(c.ProbeAddr())
}

func portOf(addr string) int {
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		return 0
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return port
}

// installed reads the release that is in force. A receipt or manifest that is
// lost or damaged is something that a repair mends, so it is not an error.
func (s *Situation) installed(f *machine.FS) error {
	if s.Current == 0 {
		return nil
	}
	s.Release = step.ReleaseOf(f, s.Current)
	s.Version = versionOf(s.Release)
	if raw, err := f.ReadFile(filepath.Join(machine.Release(s.Release), bundle.ManifestName)); err == nil {
		if manifest, err := bundle.Parse(raw); err == nil {
			s.Version, s.Digest = manifest.Version, bundle.Digest(raw)
		}
	}
	r, err := readReceipt(f, s.Current)
	if err != nil {
		return err
	}
	if r != nil {
		s.Receipt = r
		s.Version, s.Digest = r.Version, r.ManifestDigest
	}
	s.Damaged = s.damage(f)
	s.Missing = s.missing(f)
	if s.Release == "" && r != nil {
		s.Release = r.Release
	}
	return nil
}

// missing lists the files of the release that are not there. What else differs only
// Verify tells, which reads every file.
func (s *Situation) missing(f *machine.FS) []string {
	if s.Receipt == nil {
		return nil
	}
	var out []string
	for _, e := range s.Receipt.Files {
		if _, err := f.Lstat(e.Path); strings.HasPrefix(e.Path, machine.ReleasesDir+string(filepath.Separator)) && isGone(err) {
			out = append(out, e.Path)
		}
	}
	return out
}

// broken tells that the installation could not serve as it lies there.
func (s *Situation) broken() bool { return s.Damaged != "" || len(s.Missing) > 0 }

// damage says what is gone of the chain from current to a release.
func (s *Situation) damage(f *machine.FS) string {
	switch {
	case !f.Exists(machine.Generation(s.Current)):
		return fmt.Sprintf("%s leads to generation %d, but %s is gone", machine.Current, s.Current, machine.Generation(s.Current))
	case s.Release == "":
		return fmt.Sprintf("generation %d is in force, but its link %s/release is gone", s.Current, machine.Generation(s.Current))
	case !f.Exists(machine.Release(s.Release)):
		return fmt.Sprintf("generation %d is in force, but its release %s is gone", s.Current, machine.Release(s.Release))
	}
	return ""
}

// versionOf reads the version in the name of a release folder: all before the
// last hyphen, since a version may hold hyphens itself.
func versionOf(release string) string {
	release = repairSuffix.ReplaceAllString(release, "")
	return release[:max(0, strings.LastIndexByte(release, '-'))]
}

func readReceipt(f *machine.FS, n int) (*receipt.Receipt, error) {
	content, err := f.ReadFile(machine.Receipt(n))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := receipt.Parse(content)
	if errors.Is(err, receipt.ErrNewer) {
		return nil, fmt.Errorf("read %s: %w", machine.Receipt(n), err)
	}
	if err != nil {
		return nil, nil
	}
	return &r, nil
}

// numbered lists the numbers that folders below dir have as names.
func numbered(f *machine.FS, dir string) ([]int, error) {
	entries, err := f.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && n > 0 {
			out = append(out, n)
		}
	}
	return out, nil
}

func generations(m *step.Machine, s *Situation) ([]GenerationInfo, error) {
	var all []int
	for _, dir := range []string{machine.GenerationsDir, machine.ServerStateDir, machine.LicensedStateDir} {
		found, err := numbered(m.FS, dir)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	slices.Sort(all)
	var out []GenerationInfo
	for _, n := range slices.Compact(all) {
		g := GenerationInfo{Number: n, Current: n == s.Current, Release: step.ReleaseOf(m.FS, n), EndedBy: s.State.Generations[n].EndedBy}
		g.DataOnly = g.Release == ""
		g.Version = versionOf(g.Release)
		g.Open = m.FS.Exists(filepath.Join(machine.Generation(n), machine.OpenFile))
		g.Size = size(m.FS, machine.ServerData(n)) + size(m.FS, machine.LicensedData(n))
		r, err := readReceipt(m.FS, n)
		if err != nil {
			return nil, err
		}
		if r != nil {
			g.Version, g.Created, g.Previous, g.digest = r.Version, r.Created, r.Previous, r.ManifestDigest
			g.receipt, g.predecessor = true, r.Predecessor
		}
		out = append(out, g)
	}
	return out, nil
}

// size adds up the files of a tree; what cannot be read counts nothing.
func size(f *machine.FS, path string) int64 {
	info, err := f.Lstat(path)
	if err != nil {
		return 0
	}
	if !info.IsDir() {
		return info.Size()
	}
	entries, err := f.ReadDir(path)
	if err != nil {
		return 0
	}
	var sum int64
	for _, e := range entries {
		sum += size(f, filepath.Join(path, e.Name()))
	}
	return sum
}

// generation finds one by number.
func (s *Situation) generation(n int) (GenerationInfo, bool) {
	for _, g := range s.Generations {
		if g.Number == n {
			return g, true
		}
	}
	return GenerationInfo{}, false
}

// SetupPath is where the installed ss-setup lies.
func (s *Situation) SetupPath() string { return s.bin + "/ss-setup" }

// StoreSize is the size of the two stores that an update copies.
func (s *Situation) StoreSize() int64 {
	g, _ := s.generation(s.dataFrom())
	return g.Size
}

// dataFrom is the generation whose data the next one starts with: the one in
// force, else the one an uninstall kept.
func (s *Situation) dataFrom() int {
	if s.Current != 0 {
		return s.Current
	}
	if g, ok := s.generation(s.State.KeptData); ok {
		return g.Number
	}
	return 0
}

// next is a number that no generation has ever had.
func (s *Situation) next() int {
	n := max(s.State.NextGeneration, 1)
	for _, g := range s.Generations {
		n = max(n, g.Number+1)
	}
	return n
}
