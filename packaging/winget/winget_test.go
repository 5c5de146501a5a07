package winget

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

var good = Options{
	ID: "Example.SSServer", Version: "7.0.0", Publisher: `Example: "Files" #1`, Type: Zip,
	URL: "https://downloads.example.com/7.0.0/ss-server-windows-amd64.zip", SHA256: strings.Repeat("0a", 32),
}

// required are the fields that the documentation of schema 1.6 demands, with the
// pattern that their values must have.
var required = map[string]map[string]string{
	"Example.SSServer.yaml": {
		"PackageIdentifier": `^Example\.SSServer$`, "PackageVersion": `^7\.0\.0$`, "DefaultLocale": `^en-US$`,
		"ManifestType": `^version$`, "ManifestVersion": `^1\.6\.0$`,
	},
	"Example.SSServer.installer.yaml": {
		"PackageIdentifier": `^Example\.SSServer$`, "PackageVersion": `^7\.0\.0$`, "ManifestType": `^installer$`, "ManifestVersion": `^1\.6\.0$`,
		"MinimumOSVersion": `^\d+(\.\d+){0,3}$`, "Scope": `^(user|machine)$`, "UpgradeBehavior": `^(install|uninstallPrevious|deny)$`,
	},
	"Example.SSServer.locale.en-US.yaml": {
		"PackageIdentifier": `^Example\.SSServer$`, "PackageVersion": `^7\.0\.0$`, "PackageLocale": `^en-US$`, "Publisher": `^Example: "Files" #1$`,
		"PackageName": `^SS Server$`, "License": `^Apache-2\.0$`, "ShortDescription": `^.{3,256}$`, "ManifestType": `^defaultLocale$`, "ManifestVersion": `^1\.6\.0$`,
	},
}

func parse(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := yaml.UnmarshalWithOptions(text, &m, yaml.Strict()); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return m
}

func TestManifestsHaveWhatWingetDemands(t *testing.T) {
	files, err := Render(good)
	if err != nil || len(files) != len(required) {
		t.Fatal(len(files), err)
	}
	for name, fields := range required {
		m := parse(t, files[name])
		for field, pattern := range fields {
			value, ok := m[field].(string)
			if !ok || !regexp.MustCompile(pattern).MatchString(value) {
				t.Errorf("%s: %s is %v, want %s", name, field, m[field], pattern)
			}
		}
	}
}

// responses are those that the schema knows.
var responses = []string{
	"packageInUse", "packageInUseByApplication", "installInProgress", "fileInUse", "missingDependency", "diskFull", "insufficientMemory",
	"invalidParameter", "noNetwork", "contactSupport", "rebootRequiredToFinish", "rebootRequiredForInstall", "rebootInitiated",
	"cancelledByUser", "alreadyInstalled", "downgrade", "blockedByPolicy", "systemNotSupported", "custom",
}

func TestTheInstallerIsNamedAsItsTypeDemands(t *testing.T) {
	for _, kind := range []string{Zip, Nullsoft} {
		o := good
		o.Type = kind
		files, err := Render(o)
		if err != nil {
			t.Fatal(err)
		}
		m := parse(t, files["Example.SSServer.installer.yaml"])
		list := m["Installers"].([]any)
		i := list[0].(map[string]any)
		if len(list) != 1 || i["Architecture"] != "x64" || i["InstallerType"] != kind || i["InstallerUrl"] != good.URL || i["InstallerSha256"] != strings.ToUpper(good.SHA256) {
			t.Errorf("%s: %v", kind, list)
		}
		// A nested installer belongs to archives, and to them alone.
		if _, nested := i["NestedInstallerFiles"]; nested != (kind == Zip) || (i["NestedInstallerType"] == "exe") != (kind == Zip) {
			t.Errorf("%s: %v", kind, i)
		}
		switches := m["InstallerSwitches"].(map[string]any)
		for _, name := range []string{"Silent", "SilentWithProgress"} { // an exe must have both
			if switches[name] == "" || switches[name] == nil {
				t.Errorf("%s: no switch %s", kind, name)
			}
		}
		for _, c := range m["ExpectedReturnCodes"].([]any) {
			if r := c.(map[string]any)["ReturnResponse"].(string); !slices.Contains(responses, r) {
				t.Errorf("%s is no response that winget knows", r)
			}
		}
	}
}

func TestWhatIsWrongIsToldByItsFlag(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"--id":        func(o *Options) { o.ID = "SSServer" },
		"--version":   func(o *Options) { o.Version = "latest" },
		"--publisher": func(o *Options) { o.Publisher = "" },
		"--type":      func(o *Options) { o.Type = "msi" },
		"--url":       func(o *Options) { o.URL = "http://example.com/x.zip" },
		"--sha256":    func(o *Options) { o.SHA256 = "0a" },
	} {
		o := good
		change(&o)
		if _, err := Write(o, t.TempDir()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestWrite(t *testing.T) {
	names, err := Write(good, t.TempDir()+"/new")
	if err != nil || len(names) != 3 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
}

// known are fields of the published schema 1.6 that ours may have, with the values that
// it allows where it lists them.
var known = map[string]map[string][]string{
	"Example.SSServer.yaml": {"PackageIdentifier": nil, "PackageVersion": nil, "DefaultLocale": nil, "ManifestType": nil, "ManifestVersion": nil},
	"Example.SSServer.locale.en-US.yaml": {
		"PackageIdentifier": nil, "PackageVersion": nil, "PackageLocale": nil, "Publisher": nil, "PackageName": nil, "License": nil,
		"ShortDescription": nil, "Description": nil, "Tags": nil, "ManifestType": nil, "ManifestVersion": nil,
	},
	"Example.SSServer.installer.yaml": {
		"PackageIdentifier": nil, "PackageVersion": nil, "MinimumOSVersion": nil, "InstallerSuccessCodes": nil, "ManifestType": nil, "ManifestVersion": nil,
		"Platform": {"Windows.Desktop", "Windows.Universal"}, "Scope": {"user", "machine"}, "UpgradeBehavior": {"install", "uninstallPrevious"},
		"ElevationRequirement": {"elevationRequired", "elevationProhibited", "elevatesSelf"}, "InstallModes": {"interactive", "silent", "silentWithProgress"},
		"InstallerSwitches.Silent": nil, "InstallerSwitches.SilentWithProgress": nil, "InstallerSwitches.Interactive": nil,
		"ExpectedReturnCodes.InstallerReturnCode": nil, "ExpectedReturnCodes.ReturnResponse": responses,
		"AppsAndFeaturesEntries.DisplayName": nil, "AppsAndFeaturesEntries.Publisher": nil, "AppsAndFeaturesEntries.DisplayVersion": nil,
		"AppsAndFeaturesEntries.ProductCode": nil,
		"Installers.Architecture":            {"x86", "x64", "arm", "arm64", "neutral"}, "Installers.InstallerType": {"exe", "zip", "nullsoft"},
		"Installers.NestedInstallerType": {"exe", "nullsoft"}, "Installers.NestedInstallerFiles.RelativeFilePath": nil,
		"Installers.InstallerUrl": nil, "Installers.InstallerSha256": nil,
	},
}

func TestManifestsHaveNothingThatTheSchemaDoesNotKnow(t *testing.T) {
	for _, kind := range []string{Zip, Nullsoft} {
		o := good
		o.Type = kind
		files, err := Render(o)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range files {
			for field, values := range leaves("", parse(t, text)) {
				allowed, there := known[name][field]
				if !there {
					t.Errorf("%s, %s: there is no field %s", kind, name, field)
				}
				for _, v := range values {
					if allowed != nil && !slices.Contains(allowed, v) {
						t.Errorf("%s, %s: %s cannot be %s", kind, name, field, v)
					}
				}
			}
		}
	}
}

// leaves are the plain values in a document by the path to them; all of a list's are at
// the same path.
func leaves(path string, v any) map[string][]string {
	found := map[string][]string{}
	add := func(more map[string][]string) {
		for p, values := range more {
			found[p] = append(found[p], values...)
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for name, below := range v {
			add(leaves(strings.TrimPrefix(path+"."+name, "."), below))
		}
	case []any:
		for _, below := range v {
			add(leaves(path, below))
		}
	default:
		found[path] = []string{fmt.Sprint(v)}
	}
	return found
}
