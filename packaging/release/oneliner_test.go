package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// dist makes a folder with an archive for every target.
func dist(t *testing.T) ScriptOptions {
	t.Helper()
	dir := t.TempDir()
	for _, target := range []string{"linux/amd64", "linux/arm64", "windows/amd64"} {
		name := filepath.Join(dir, ArchiveName("7.1.0-beta.2", target))
		if err := os.WriteFile(name, []byte("archive for "+target), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return ScriptOptions{
		Version:   "7.1.0-beta.2",
		Templates: "../../scripts/install",
		Dist:      dir,
		Bases:     []string{"https://downloads.test/ss/", "https://mirror.test:8443/~ss"},
		Out:       filepath.Join(dir, "out"),
	}
}

// archives are the packages of the scripts, as a guide would list them.
var archives = map[string]string{
	"ss-setup-linux-x64c.sh": "ss-server-7.1.0-beta.2-linux-amd64.tar.gz",
	"ss-setup-linux-x64w.sh": "ss-server-7.1.0-beta.2-linux-amd64.tar.gz",
	"ss-setup-linux-armc.sh": "ss-server-7.1.0-beta.2-linux-arm64.tar.gz",
	"ss-setup-linux-armw.sh": "ss-server-7.1.0-beta.2-linux-arm64.tar.gz",
	"ss-setup-win-x64.ps1":   "ss-server-7.1.0-beta.2-windows-amd64.zip",
}

func TestEveryScriptNamesItsPackageItsDigestAndAllMirrors(t *testing.T) {
	o := dist(t)
	names, err := Scripts(o)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != len(archives) {
		t.Errorf("rendered %q, want %d scripts", names, len(archives))
	}
	for _, name := range names {
		text := string(read(t, o.Out, name))
		sum := sha256.Sum256(read(t, o.Dist, archives[name]))
		for _, want := range []string{
			archives[name], hex.EncodeToString(sum[:]), "7.1.0-beta.2",
			"'https://downloads.test/ss'", "'https://mirror.test:8443/~ss'", "https://downloads.test/ss/" + name,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not name %s", name, want)
			}
		}
		for _, bad := range []string{"{{", "}}}", "<no value>", "\r", "\t"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s holds %q", name, bad)
			}
		}
		// Windows PowerShell 5.1 takes a downloaded text for Latin-1.
		if i := strings.IndexFunc(text, func(r rune) bool { return r > 126 }); i >= 0 {
			t.Errorf("%s is not plain ASCII: %.20q", name, text[i:])
		}
	}
}

func TestAWrongScriptNamesTheRightOne(t *testing.T) {
	o := dist(t)
	if _, err := Scripts(o); err != nil {
		t.Fatal(err)
	}
	for name, others := range map[string][]string{
		"ss-setup-linux-x64c.sh": {"ss-setup-linux-armc.sh", "ss-setup-linux-x64w.sh"},
		"ss-setup-linux-x64w.sh": {"ss-setup-linux-armw.sh", "ss-setup-linux-x64c.sh"},
		"ss-setup-linux-armc.sh": {"ss-setup-linux-x64c.sh", "ss-setup-linux-armw.sh"},
		"ss-setup-linux-armw.sh": {"ss-setup-linux-x64w.sh", "ss-setup-linux-armc.sh"},
	} {
		for _, other := range others {
			if want := "https://downloads.test/ss/" + other; !bytes.Contains(read(t, o.Out, name), []byte(want)) {
				t.Errorf("%s does not name %s", name, want)
			}
		}
	}
}

func TestSamePackagesGiveTheSameScripts(t *testing.T) {
	a, b := dist(t), dist(t)
	for _, o := range []ScriptOptions{a, b} {
		if _, err := Scripts(o); err != nil {
			t.Fatal(err)
		}
	}
	for name := range archives {
		if !bytes.Equal(read(t, a.Out, name), read(t, b.Out, name)) {
			t.Errorf("%s differs between two renderings", name)
		}
	}
}

func TestOnlyTheScriptsOfTheNamedTargetsAreRendered(t *testing.T) {
	o := dist(t)
	o.Targets = []string{"linux/arm64"}
	names, err := Scripts(o)
	if want := []string{"ss-setup-linux-armc.sh", "ss-setup-linux-armw.sh"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("rendered %q, %v; want %q", names, err, want)
	}
}

func TestWhatAShellCouldTakeForMoreThanTextIsRefused(t *testing.T) {
	for what, spoil := range map[string]func(*ScriptOptions){
		"an address with a quote":        func(o *ScriptOptions) { o.Bases = []string{"https://h/a'b"} },
		"an address with a command":      func(o *ScriptOptions) { o.Bases = []string{"https://h/$(id)"} },
		"an address with a back-quote":   func(o *ScriptOptions) { o.Bases = []string{"https://h/`id`"} },
		"an address with a space":        func(o *ScriptOptions) { o.Bases = []string{"https://h/a b"} },
		"an address with two lines":      func(o *ScriptOptions) { o.Bases = []string{"https://h/a\nid"} },
		"an address with a query":        func(o *ScriptOptions) { o.Bases = []string{"https://h/a?x=1"} },
		"an address with a password":     func(o *ScriptOptions) { o.Bases = []string{"https://me:secret@h/"} },
		"an address of another kind":     func(o *ScriptOptions) { o.Bases = []string{"file:///srv"} },
		"an address without a host":      func(o *ScriptOptions) { o.Bases = []string{"https:///srv"} },
		"a mirror with a quote":          func(o *ScriptOptions) { o.Bases[1] = "https://h/'" },
		"no address":                     func(o *ScriptOptions) { o.Bases = nil },
		"a version with a command":       func(o *ScriptOptions) { o.Version = "7.0.0;id" },
		"a version that climbs":          func(o *ScriptOptions) { o.Version = "7.0.0-../x" },
		"no version":                     func(o *ScriptOptions) { o.Version = "" },
		"a target that there is not":     func(o *ScriptOptions) { o.Targets = []string{"linux/386"} },
		"a package that there is not":    func(o *ScriptOptions) { o.Version = "7.9.9" },
		"no folder to write into":        func(o *ScriptOptions) { o.Out = "" },
		"a folder that cannot be made":   func(o *ScriptOptions) { o.Out = filepath.Join(o.Dist, archives["ss-setup-win-x64.ps1"]) },
		"no templates":                   func(o *ScriptOptions) { o.Templates = o.Dist },
		"no folder to read packages in":  func(o *ScriptOptions) { o.Dist = "" },
		"a folder of packages elsewhere": func(o *ScriptOptions) { o.Dist = filepath.Join(o.Dist, "nowhere") },
	} {
		t.Run(what, func(t *testing.T) {
			o := dist(t)
			spoil(&o)
			if names, err := Scripts(o); err == nil {
				t.Errorf("rendered %q", names)
			}
		})
	}
}

func TestShellScriptsParse(t *testing.T) {
	o := dist(t)
	if _, err := Scripts(o); err != nil {
		t.Fatal(err)
	}
	for name := range archives {
		if filepath.Ext(name) != ".sh" {
			continue
		}
		if out, err := exec.Command("sh", "-n", filepath.Join(o.Out, name)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
