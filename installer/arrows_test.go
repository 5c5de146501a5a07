package installer_test

import (
	"os/exec"
	"strings"
	"testing"
)

// arrows says which packages of ours each group may import; docs/architecture.md
// draws it. A package belongs to the longest prefix that fits.
var arrows = map[string][]string{
	"installer/machine": {"runtime/version"},
	"installer/txn":     {"installer/machine"},
	"installer/bundle":  {},
	"installer/receipt": {},
	"installer/answers": {"runtime/config", "runtime/setup/answers"},
	"installer/support": {},
	"installer/move":    {"runtime/backup", "runtime/model"},
	"installer/step":    {"installer/machine", "installer/txn", "installer/bundle", "installer/receipt", "installer/move", "runtime/config"},
	"installer/plan":    {"installer/step", "installer/machine", "installer/txn", "installer/bundle", "installer/receipt", "installer/move", "runtime/config", "runtime/service"},
	// The one part of ss-setup that knows importers.
	"installer/plan/legacy": {"migrate", "migrate/", "runtime/hostkey"},
	"installer/preflight":   {"installer/machine", "installer/txn", "installer/bundle"},
	"installer/cli":         {"installer/", "migrate/report", "runtime/config", "runtime/service", "runtime/setup/answers", "runtime/version"},
	"installer/cmd":         {"installer/cli"},
	"runtime/cmd":           {"runtime/"},
	// The main package alone hands importers to the server.
	"runtime/cmd/ss-server": {"runtime/", "migrate", "migrate/"},
	"runtime":               {"runtime/"},
	"runtime/model":         {},
	"runtime/durable":       {},
	"runtime/store":         {"runtime/durable"},
	"runtime/hostkey":       {},
	"runtime/engine":        {"runtime/model", "runtime/store"},
	"migrate":               {"migrate/", "runtime/model", "runtime/hostkey", "runtime/auth", "runtime/backup"},
	"migrate/local":         {"migrate/", "runtime/hostkey", "runtime/daemon", "runtime/vfs", "runtime/vfs/volume"},
	"migrate/vfsdecrypt":    {},
	"migrate/cmd":           {"migrate/", "runtime/verbs"},
	"installer":             {},
	"packaging":             {"packaging/", "installer/bundle", "runtime/version"},
	"scripts":               {"scripts/", "packaging/", "installer/", "runtime/", "migrate", "migrate/"},
}

func TestImportsPointOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "ss-setup/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		name := strings.TrimPrefix(words[0], "ss-setup/")
		group, may := allowed(name)
		if group == "" {
			t.Errorf("%s belongs to no group; give it one in this test and in docs/architecture.md", name)
		}
		for _, imported := range words[1:] {
			other, ours := strings.CutPrefix(imported, "ss-setup/")
			if ours && !within(other, group) && !permitted(other, may) {
				t.Errorf("%s imports %s: %s may import only %s", name, other, group, strings.Join(may, ", "))
			}
		}
	}
}

func allowed(name string) (group string, may []string) {
	for prefix, list := range arrows {
		if within(name, prefix) && len(prefix) > len(group) {
			group, may = prefix, list
		}
	}
	return group, may
}

func within(name, prefix string) bool { return name == prefix || strings.HasPrefix(name, prefix+"/") }

func permitted(name string, may []string) bool {
	for _, p := range may {
		if name == p || strings.HasPrefix(name, strings.TrimSuffix(p, "/")+"/") {
			return true
		}
	}
	return false
}

func TestNoPackageHasANameThatSaysNothing(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.Name}} {{.ImportPath}}", "ss-setup/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		switch name := strings.Fields(line)[0]; name {
		case "util", "utils", "common", "helper", "helpers", "misc":
			t.Errorf("package %s: %s", name, strings.TrimSpace(line))
		}
	}
}
