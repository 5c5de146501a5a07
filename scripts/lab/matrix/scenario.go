//go:build linux

package matrix

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"ss-setup/installer/bundle/trust"
	"ss-setup/packaging/signing"
)

// kit is what every case of a sweep shares: bundles and machines to start from.
type kit struct {
	dir string
}

// bundles of the fixture releases by name: 7.0.0b is another build of 7.0.0.
var releases = []string{"7.0.0", "7.0.0b", "7.0.1", "7.0.2"}

// newKit builds ss-setup with a root of trust of its own, and the bundles that it signs.
func newKit(dir, services string) (*kit, error) {
	k := &kit{dir: dir}
	vault := signing.Open(filepath.Join(dir, "keys"))
	if err := vault.Init(rand.Reader, true); err != nil {
		return nil, err
	}
	setup := filepath.Join(dir, "ss-setup")
	if err := buildSetup(setup, vault.RootFile()); err != nil {
		return nil, err
	}
	if err := newBackup(k.backup()); err != nil {
		return nil, err
	}
	var all []signing.Publication
	for _, name := range releases {
		if err := newBundle(filepath.Join(dir, name), strings.TrimSuffix(name, "b"), name, setup, services); err != nil {
			return nil, fmt.Errorf("make bundle %s: %w", name, err)
		}
		all = append(all, signing.Publication{Dir: k.bundle(name), Info: trust.ReleaseInfo{Channel: trust.Stable}})
	}
	if err := vault.Publish(all, 0); err != nil {
		return nil, fmt.Errorf("sign the bundles: %w", err)
	}
	for _, name := range releases {
		if err := vault.CopyMetadata(filepath.Join(k.bundle(name), trust.MetadataDir)); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func buildSetup(file, rootFile string) error {
	root, err := os.ReadFile(rootFile)
	if err != nil {
		return err
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-tags", "faults", "-o", file, "-ldflags",
		"-s -w -X ss-setup/installer/bundle/trust.root="+base64.StdEncoding.EncodeToString(root), "ss-setup/installer/cmd/ss-setup")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build ss-setup: %w\n%s", err, out)
	}
	return nil
}

func (k *kit) bundle(name string) string { return filepath.Join(k.dir, name, "bundle") }
func (k *kit) setup(name string) string  { return filepath.Join(k.bundle(name), "ss-setup") }

// scenario is one run of one verb on one machine.
type scenario struct {
	name string
	// old: version 6 is on the machine.
	old bool
	// imports: it brings in what another product had, or goes back to that product. make soak
	// takes all of its crash points.
	imports bool
	// prepare lists the runs that make the machine to start from.
	prepare [][]string
	// files are put there before the run: path and content.
	files map[string]string
	run   []string
}

// backup is one of version 6.
func (k *kit) backup() string { return filepath.Join(k.dir, "v6.zip") }

// scenarios covers every verb and every way an install can take.
func (k *kit) scenarios() []scenario {
	install := func(release string, more ...string) []string {
		return append([]string{k.setup(release), "install", "--from", k.bundle(release), "--yes"}, more...)
	}
	verb := func(release string, words ...string) []string { return append([]string{k.setup(release)}, words...) }
	first := [][]string{install("7.0.0")}
	second := [][]string{install("7.0.0"), install("7.0.1", "--update")}
	return []scenario{
		{name: "install", run: install("7.0.0")},
		{name: "update", prepare: first, run: install("7.0.1", "--update")},
		{name: "second update", prepare: second, run: install("7.0.2")},
		{name: "rebuild", prepare: first, run: install("7.0.0b")},
		{
			name: "repair", prepare: first, run: install("7.0.0", "--repair"),
			files: map[string]string{"etc/systemd/system/ss-server.service": "# edited\n", "usr/bin/ss-server": "not a link\n"},
		},
		{name: "force", prepare: first, run: install("7.0.1", "-F")},
		{name: "adopt", prepare: [][]string{install("7.0.0"), verb("7.0.0", "uninstall", "--yes")}, run: install("7.0.1")},
		{name: "rollback", prepare: second, run: verb("7.0.1", "rollback", "--yes")},
		{name: "uninstall", prepare: first, run: verb("7.0.0", "uninstall", "--yes")},
		{
			name: "purge", prepare: second, run: verb("7.0.1", "uninstall", "--purge", "--yes"),
			files: map[string]string{"srv/ss-server/report.txt": "a user's\n"},
		},
		{
			name: "purge files", prepare: first, run: verb("7.0.0", "uninstall", "--purge", "--purge-files", "--yes"),
			files: map[string]string{"srv/ss-server/report.txt": "a user's\n"},
		},
		{name: "import", imports: true, run: install("7.0.0", "--accept-drops", "--import", k.backup())},
		{name: "upgrade", old: true, imports: true, run: install("7.0.0", "--accept-drops", "--import", k.backup())},
		{
			name: "rollback to version 6", old: true, imports: true,
			prepare: [][]string{install("7.0.0", "--accept-drops", "--import", k.backup())}, run: verb("7.0.0", "rollback", "--yes"),
		},
		{name: "forget", prepare: append(second, verb("7.0.1", "rollback", "--yes")), run: verb("7.0.1", "forget", "2", "--yes")},
	}
}

// fault is what a process is told to suffer, in the words of SS_SETUP_FAULT.
type fault struct {
	spec string
	log  string
}

// outcome is how a process ended.
type outcome struct {
	code   int
	killed bool
	output string
}

// process runs ss-setup on the machine below root.
func process(root string, argv []string, f fault) (outcome, error) {
	cmd := exec.Command(argv[0], append(argv[1:], "--root", root)...)
	cmd.Env = append(os.Environ(), "SS_SETUP_RECORD=1", "SS_SETUP_FAULT="+f.spec, "SS_SETUP_FAULT_LOG="+f.log, "SS_SETUP_HEALTH_TIMEOUT=2s")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	o := outcome{code: cmd.ProcessState.ExitCode(), output: out.String()}
	o.killed = o.code == -1
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		return o, err
	}
	return o, nil
}
