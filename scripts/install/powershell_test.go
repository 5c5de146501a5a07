package install_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ss-setup/packaging/release"
)

// There is no PowerShell in the tests: a grammar of the language reads the script. It
// is that of 5.1, to which the operators that came with 7 are errors.

// node is a piece of the parsed script.
type node struct {
	Kind   string
	Text   string
	Line   int
	Parent int // index of the piece around it
}

type parsed struct {
	File   string
	Parses bool
	Nodes  []node
}

// within tells whether a piece lies in another for which fn holds.
func (p *parsed) within(n node, fn func(node) bool) bool {
	for n.Parent >= 0 {
		if n = p.Nodes[n.Parent]; fn(n) {
			return true
		}
	}
	return false
}

// find lists the pieces of one kind.
func (p *parsed) find(kind string) []node {
	return slices.DeleteFunc(slices.Clone(p.Nodes), func(n node) bool { return n.Kind != kind })
}

// powershell is the rendered script as a file.
func powershell(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, release.ArchiveName("7.0.0", "windows/amd64")), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	names, err := release.Scripts(release.ScriptOptions{
		Version: "7.0.0", Templates: ".", Dist: dir, Out: dir, Targets: []string{"windows/amd64"},
		Bases: []string{"https://downloads.test/ss", "https://mirror.test/ss"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, names[0])
}

// parse reads files with the grammar. A test that cannot get it is skipped, and says so.
func parse(t *testing.T, files ...string) []parsed {
	t.Helper()
	dir, err := grammar()
	if err != nil {
		t.Skipf("%s has no PowerShell grammar: %v", t.Name(), err)
	}
	// The compiler that starts at once: the optimising one works for half a minute on this grammar.
	out, err := exec.Command("node", append([]string{"--liftoff-only", filepath.Join(dir, "parse.mjs")}, files...)...).Output()
	if err != nil {
		t.Fatalf("parse: %v\n%s", err, out)
	}
	var all []parsed
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p parsed
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) != len(files) {
		t.Fatalf("%d of %d files were parsed", len(all), len(files))
	}
	return all
}

// grammar is the folder with the parser. It is fetched once for each version, and what
// comes is compared with the digests of package-lock.json.
func grammar() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	files := []string{"package.json", "package-lock.json", "parse.mjs"}
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join("powershell", name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(text), text)
	}
	dir := filepath.Join(cache, fmt.Sprintf("ss-setup-powershell-%x", h.Sum(nil)[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := nodejs(); err != nil {
		return "", err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	part, err := os.MkdirTemp(cache, "ss-setup-powershell-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(part)
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join("powershell", name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(part, name), text, 0o644); err != nil {
			return "", err
		}
	}
	npm := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-timeout=60000")
	npm.Dir = part
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w: %s", err, out)
	}
	if err := os.Rename(part, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return "", err
		} // else another test was faster
	}
	return dir, nil
}

// nodejs installs what runs the parser, where it is missing and can be.
func nodejs() error {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err == nil {
			continue
		}
		if os.Geteuid() != 0 {
			return fmt.Errorf("%s is missing: sudo apt-get install nodejs npm", program)
		}
		out, err := exec.Command("bash", "../lab/packages.sh", "node:nodejs", "npm:npm").CombinedOutput()
		if err != nil {
			return fmt.Errorf("install nodejs and npm: %w: %s", err, out)
		}
	}
	return nil
}

func TestThePowerShellScriptParsesAndNoPieceOfItDoes(t *testing.T) {
	script := powershell(t)
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	files := []string{script}
	dir := t.TempDir()
	for n := 2; n < len(text)-1; n++ { // the last byte is a line feed
		if n%64 != 0 && n < len(text)-64 {
			continue
		}
		name := filepath.Join(dir, fmt.Sprint(n))
		if err := os.WriteFile(name, text[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, name)
	}
	broken := filepath.Join(dir, "broken")
	if err := os.WriteFile(broken, bytes.Replace(text, []byte("finally {"), []byte("finally }"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	for i, p := range parse(t, append(files, broken)...) {
		if p.Parses != (i == 0) {
			t.Errorf("%s parses: %v", filepath.Base(p.File), p.Parses)
		}
	}
}

// known are the commands of Windows PowerShell 5.1 that the script may use, with those
// of their parameters that are in 5.1 and in 7.
var known = map[string]string{
	"Add-Type":          "-AssemblyName",
	"Get-FileHash":      "-LiteralPath -Algorithm",
	"Invoke-WebRequest": "-Uri -OutFile -UseBasicParsing -TimeoutSec -Proxy -ProxyUseDefaultCredentials",
	"Join-Path":         "-Path -ChildPath",
	"New-Item":          "-ItemType -Path",
	"Remove-Item":       "-LiteralPath -Recurse -Force -ErrorAction",
	"Select-String":     "-LiteralPath -SimpleMatch -Pattern -Quiet",
	"Start-Sleep":       "-Seconds",
	"Write-Host":        "",
}

func TestThePowerShellScriptUsesOnlyWhat51Has(t *testing.T) {
	p := parse(t, powershell(t))[0]
	own := map[string]bool{}
	for _, f := range p.find("function_name") {
		own[f.Text] = true
	}
	for _, name := range p.find("command_name") {
		// In full and as written by Microsoft: so no alias passes.
		if _, ok := known[name.Text]; !ok && !own[name.Text] {
			t.Errorf("line %d: command %s is not one of Windows PowerShell 5.1, or an alias", name.Line, name.Text)
		}
		command := p.Nodes[name.Parent]
		for _, parameter := range p.find("command_parameter") {
			in := p.within(parameter, func(n node) bool { return n == command })
			if in && !slices.Contains(strings.Fields(known[name.Text]), parameter.Text) {
				t.Errorf("line %d: %s has no parameter %s", parameter.Line, name.Text, parameter.Text)
			}
		}
	}
	for _, key := range p.find("hash_entry") {
		name, _, _ := strings.Cut(key.Text, " ")
		if !slices.Contains(strings.Fields(known["Invoke-WebRequest"]), "-"+name) {
			t.Errorf("line %d: Invoke-WebRequest has no parameter %s", key.Line, name)
		}
	}
	types := []string{
		"bool", "int", "string", "string[]", "Guid", "IO.Compression.ZipFile", "Net.SecurityProtocolType", "Net.ServicePointManager",
		"Security.Principal.WindowsBuiltInRole", "Security.Principal.WindowsIdentity", "Security.Principal.WindowsPrincipal",
	}
	for _, literal := range p.find("type_literal") {
		if name := strings.Trim(literal.Text, "["); !slices.Contains(types, strings.TrimSuffix(name, "]")) {
			t.Errorf("line %d: type %s is not one that 5.1 and 7 have", literal.Line, literal.Text)
		}
	}
	for _, chain := range p.find("pipeline_chain_tail") {
		t.Errorf("line %d: && and || came with PowerShell 7", chain.Line)
	}
}

func TestThePowerShellScriptExitsOnlyWhereItRunsFromItsOwnFile(t *testing.T) {
	p := parse(t, powershell(t))[0]
	var exits []node
	for _, n := range p.find("flow_control_statement") {
		if strings.HasPrefix(n.Text, "exit") {
			exits = append(exits, n)
		}
	}
	if len(exits) != 1 || exits[0].Text != "exit $global:LASTEXITCODE" {
		t.Fatalf("exits: %+v", exits)
	}
	guarded := p.within(exits[0], func(n node) bool {
		return n.Kind == "if_statement" && strings.HasPrefix(n.Text, "if ($OwnFile -and (Select-String -LiteralPath $OwnFile ")
	})
	if !guarded {
		t.Error("exit is not guarded: under iex it would close the window")
	}
	for _, n := range p.Nodes {
		if n.Kind == "variable" && n.Text == "$LASTEXITCODE" {
			t.Errorf("line %d: $LASTEXITCODE without global: is lost", n.Line)
		}
	}
}

func TestThePowerShellScriptStaysShort(t *testing.T) {
	text, err := os.ReadFile(powershell(t))
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(text, []byte("\n")); lines > 125 {
		t.Errorf("%d lines: nobody reads that before running it", lines)
	}
	for _, want := range []string{
		"[Net.SecurityProtocolType]::Tls12", "UseBasicParsing = $true", "-ne 'FullLanguage'", "-Algorithm SHA256",
		"Set-Failure 740 ", "Set-Failure 1620 ", "Set-Failure 1633 ", "Set-Failure 15613 ",
	} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("%s is gone", want)
		}
	}
}
