//go:build linux && lab

package windows

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// lines are the command lines in the kit for software distribution, by what they are for.
func lines(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../../packaging/sccm/README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| ([a-z, ]+) \\| `ss-setup.exe ([^`]+)` \\|$").FindAllStringSubmatch(string(text), -1) {
		found[row[1]] = strings.Fields(row[2])
	}
	if len(found) != 5 {
		t.Fatalf("the kit has the lines %v", found)
	}
	return found
}

// cache is the folder that software distribution downloads to.
const cache = `C:\windows\ccmcache\1a`

// bare runs ss-setup from the cache with an empty environment.
func (b *box) bare(more []string, args ...string) (output string, code int) {
	b.t.Helper()
	words := append([]string{"wine", `C:\bare.exe`}, more...)
	out, errs, _ := b.Exec(context.Background(), append(append(words, cache, cache+`\ss-setup.exe`), args...)...)
	_, ended, found := strings.Cut(out, "\nended with ")
	code, err := strconv.Atoi(strings.TrimSpace(ended))
	if !found || err != nil {
		b.t.Fatalf("%v: it did not end: %s%s\n%s", args, out, errs, b.logs())
	}
	return out + errs, code
}

func (b *box) wantBare(code int, args ...string) string {
	b.t.Helper()
	out, got := b.bare(nil, args...)
	if got != code {
		b.t.Fatalf("%v: want %d, got %d\n%s\n%s", args, code, got, out, b.logs())
	}
	return out
}

func TestSoftwareDistributionRunsAsSystemWithoutAProfile(t *testing.T) {
	b := boot(t, "7.0.0")
	b.helper("bare")
	folder := drive + "/" + slashes(strings.TrimPrefix(cache, `C:\`))
	b.MustExec("sh", "-c", `mkdir -p "$1" && cp -r /bundles/7.0.0/. "$1"`, "sh", folder)
	kit := lines(t)

	b.answers(folder, "license_port: 2999\nlicence_mode: local\n")
	if out := b.wantBare(wrongUsage, kit["install"]...); !strings.Contains(out, "answers.yaml:2: there is no key") || !strings.Contains(out, "license_mode") {
		t.Errorf("a wrong key: %s", out)
	}
	b.answers(folder, "license_code: S7AB\n")
	if out := b.wantBare(wrongUsage, kit["install"]...); !strings.Contains(out, "answers.yaml:1: license_code is not in this version") {
		t.Errorf("a key of later: %s", out)
	}
	b.answers(folder, "superadmin:\n  password: sesame\n")
	if out := b.wantBare(wrongUsage, kit["install"]...); !strings.Contains(out, "answers.yaml:2: a password in clear text") || strings.Contains(out, "sesame") {
		t.Errorf("a password: %s", out)
	}
	b.nothingLeft()

	b.answers(folder, "license_port: 2999\nhealth_timeout: 60s\n")
	b.wantBare(done, kit["install"]...)
	b.serves("7.0.0")
	if config := b.MustExec("cat", drive+"/ProgramData/SS Server/config/licensed.toml"); !strings.Contains(config, ":2999") {
		t.Errorf("the answers were not taken:\n%s", config)
	}
	if version := b.value(productKey, "DisplayVersion"); version != "7.0.0" {
		t.Errorf("detection finds %q", version)
	}
	b.wantBare(done, kit["repair"]...)
	b.serves("7.0.0")
	t.Run("whoever is no Administrator is told so", b.refusesOthers)
	t.Run("an archive for support has no secret", b.bundlesNoSecret)
	b.wantBare(done, kit["uninstall, data kept"]...)
	if b.registered(productKey) {
		t.Error("detection finds it still")
	}
	b.wantBare(done, kit["install, without answers"]...)
	b.serves("7.0.0")
	b.wantBare(done, kit["uninstall, data removed"]...)
	b.wantBare(nothingInstalled, kit["uninstall, data kept"]...)
}

func (b *box) answers(folder, text string) {
	b.t.Helper()
	if err := b.WriteFile(filepath.Join(folder, "answers.yaml"), []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// needsAdministrator is the code for who may not.
const needsAdministrator = 740

func (b *box) refusesOthers(t *testing.T) {
	before := b.state()
	for _, verb := range [][]string{
		{"install", "-S"}, {"uninstall", "-S"}, {"rollback", "--yes"}, {"forget", "1"}, {"recover"}, {"status"}, {"verify"}, {"check-update"}, {"support-bundle"},
	} {
		if out, code := b.bare([]string{"-restricted"}, verb...); code != needsAdministrator || !strings.Contains(out, "Run as administrator") {
			t.Errorf("%v: %d %s", verb, code, out)
		}
	}
	if d := differs(before, b.state()); d != "" {
		t.Errorf("something was changed:\n%s", d)
	}
}

// bundlesNoSecret puts a word of secrets wherever the product has files, and wants it
// nowhere in the archive.
func (b *box) bundlesNoSecret(t *testing.T) {
	const secret = "sesame"
	planted := fmt.Sprintf("password = \"%[1]s\"\napi_key=%[1]s\nurl = \"https://sa:%[1]s@example.com/\"\n"+
		"{\"token\":\"%[1]s\"}\n-----BEGIN PRIVATE KEY-----\n%[1]s\n-----END PRIVATE KEY-----\n", secret)
	for _, name := range []string{
		"log/setup/20261121T000000.000Z-install.log", "log/ss-server.log", "config/extra.toml", "keyring/master.key", "data/1/more.txt",
		"licensed/1/more.txt", "vfs/theirs.txt", "snapshots/one.txt", "setup/receipts/9.json",
	} {
		if err := b.WriteFile(drive+"/ProgramData/SS Server/"+name, []byte(planted), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, code := b.bare(nil, "support-bundle", "--output", `C:\support.tar.gz`); code != done {
		t.Fatalf("support-bundle: %d %s", code, out)
	}
	b.MustExec("sh", "-c", "mkdir -p /tmp/support && tar -xzf "+drive+"/support.tar.gz -C /tmp/support --strip-components 1")
	names := b.MustExec("sh", "-c", "cd /tmp/support && find . -type f | sort")
	for _, name := range []string{
		"about.txt", "status.json", "verify.json", "preflight.json", "setup/state.json", "setup/receipts/1.json", "config/server.toml", "config/extra.toml",
		"logs/ss-setup/20261121T000000.000Z-install.log", "logs/ss-server/ss-server.log", "services/ss-server.json", "services/ss-licensed.json",
		"versions/ss-server.txt", "versions/manifest.json", "system/windows.txt", "files.txt",
	} {
		if !strings.Contains(names, "./"+name+"\n") {
			t.Errorf("the archive has no %s", name)
		}
	}
	for _, name := range []string{".key", "more.txt", "theirs.txt", "one.txt", "store.db"} {
		if strings.Contains(names, name) {
			t.Errorf("the archive has %s:\n%s", name, names)
		}
	}
	if found, _, code := b.Exec(context.Background(), "grep", "-rl", secret, "/tmp/support"); code != 1 {
		t.Errorf("the secret is in:\n%s", found)
	}
	for _, service := range []string{"data", "licensed"} {
		key := drive + "/ProgramData/SS Server/" + service + "/probe.key"
		if found, errs, code := b.Exec(context.Background(), "grep", "-rl", "-f", key, "/tmp/support"); code != 1 {
			t.Errorf("the probe key is in:\n%s%s", found, errs)
		}
	}
	b.MustExec("sh", "-c", "cd '"+drive+"/ProgramData/SS Server' && rm log/setup/20261121T000000.000Z-install.log config/extra.toml keyring/master.key data/1/more.txt licensed/1/more.txt vfs/theirs.txt snapshots/one.txt setup/receipts/9.json")
}
