//go:build lab

package machine

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	"ss-setup/scripts/lab"
)

// Where things are inside a machine.
const (
	insideProgram     = "/root/inside"
	insideDefinitions = "/root/definitions"
	bootStarts        = "/var/lib/boot-starts"
)

// labRelease is the release that the services of the lab are started from.
const labRelease = "7.0.0-aaaaaaaa"

// In a machine, the program of this test calls it for the part that runs there.
func TestServicesAreManagedOnRealMachines(t *testing.T) {
	if insidePart != "" {
		insideTests[insidePart](t, insideInit)
		return
	}
	for root, init := range map[string]string{"bookworm": "systemd", "bookworm-sysv": "sysv", "bookworm-openrc": "openrc"} {
		t.Run(root, func(t *testing.T) {
			lab.Prepare(t, root)
			m := lab.Boot(t, lab.Options{Root: root, Unified: true})
			equip(t, m, init)
			inside(t, m, "services", init)

			inside(t, m, "leave-boot-job", init)
			m.Stop()
			m.Start()
			inside(t, m, "find-boot-job", init)
			m.Stop()
			m.Start()
			inside(t, m, "find-no-boot-job", init)
		})
	}
}

// inside runs one of insideTests in the machine.
func inside(t *testing.T, m *lab.Machine, test, init string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	stdout, stderr, code := m.Exec(ctx, insideProgram, "inside", test, init)
	t.Logf("%s\n%s", stdout, stderr)
	if code != 0 {
		t.Fatalf("%s on %s: exit code %d\n%s", test, init, code, m.Logs())
	}
}

// equip lays a release, the definitions that the product ships and this test's
// program into a machine.
func equip(t *testing.T, m *lab.Machine, init string) {
	t.Helper()
	self, err := os.Executable()
	check(t, err)
	program, err := os.ReadFile(self)
	check(t, err)
	opt := filepath.Join(t.TempDir(), "ss-server")
	bin := filepath.Join(opt, "releases", labRelease, "bin")
	check(t, os.MkdirAll(bin, 0o755))
	check(t, os.MkdirAll(filepath.Join(opt, "generations/1"), 0o755))
	check(t, os.WriteFile(filepath.Join(bin, ServerService), program, 0o755))
	check(t, os.Link(filepath.Join(bin, ServerService), filepath.Join(bin, LicensedService)))
	check(t, os.Symlink("../../releases/"+labRelease, filepath.Join(opt, "generations/1/release")))
	check(t, os.Symlink("generations/1", filepath.Join(opt, "current")))
	m.Copy(opt, ProgramDir)
	m.Copy(filepath.Join(bin, ServerService), insideProgram)

	for _, service := range []string{ServerService, LicensedService} {
		name := service
		if init == "systemd" {
			name = unitName(service)
		}
		check(t, m.WriteFile(filepath.Join(insideDefinitions, service), rendered(t, init, name, service), 0o644))
	}
}

func rendered(t *testing.T, init, name, account string) []byte {
	t.Helper()
	text, err := template.ParseFiles(filepath.Join("../../packaging/services", init, name))
	check(t, err)
	var out bytes.Buffer
	check(t, text.Execute(&out, map[string]string{"User": account, "Mounts": "/opt/ss-server /var/lib"}))
	return out.Bytes()
}

func TestNftablesIsOpenedAndClosed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	const namespace = "firewall-test"
	_, err := runCommand(t.Context(), "ip", "netns", "add", namespace)
	check(t, err)
	defer func() { _, _ = runCommand(context.Background(), "ip", "netns", "del", namespace) }()
	run := func(ctx context.Context, argv ...string) (string, error) {
		return runCommand(ctx, append([]string{"ip", "netns", "exec", namespace}, argv...)...)
	}
	f := image(t, map[string]string{"/usr/sbin/nft": ""})
	w, err := lookForFirewall(t.Context(), f, run)
	if err != nil || w.Kind != "" {
		t.Fatalf("an empty one is %+v, %v", w, err)
	}
	for _, line := range []string{
		"add table inet filter",
		"add chain inet filter input { type filter hook input priority 0; policy drop; }",
		"add rule inet filter input tcp dport 22 accept",
		"add rule inet filter input reject",
	} {
		_, err := run(t.Context(), append([]string{"nft"}, strings.Fields(line)...)...)
		check(t, err)
	}
	before, err := run(t.Context(), "nft", "list", "ruleset")
	check(t, err)
	w, err = lookForFirewall(t.Context(), f, run)
	if err != nil || w.Kind != NFTables {
		t.Fatalf("it is %+v, %v", w, err)
	}
	ports := []int{6443, 22}
	check(t, w.Open(t.Context(), ports))
	check(t, w.Open(t.Context(), ports))
	opened, err := w.Opened(t.Context(), ports)
	if err != nil || len(opened) != 2 {
		t.Errorf("open are %v, %v", opened, err)
	}
	during, err := run(t.Context(), "nft", "list", "ruleset")
	check(t, err)
	if n := strings.Count(during, "6443"); n != 1 || strings.Index(during, "6443") > strings.Index(during, "reject") {
		t.Errorf("the rules are\n%s", during)
	}
	check(t, w.Close(t.Context(), []int{6443}))
	after, err := run(t.Context(), "nft", "list", "ruleset")
	if err != nil || after != before {
		t.Errorf("%v, the rules are\n%s, were\n%s", err, after, before)
	}
}
