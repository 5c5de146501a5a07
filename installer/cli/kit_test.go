package cli

import (
	"bytes"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"ss-setup/installer/bundle/trust"
	"ss-setup/packaging/release"
	"ss-setup/packaging/signing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// docs is the folder of the documents that the program is held to.
const docs = "../../docs/"

// compareGolden holds got to the file of that name.
func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s differs; see what changed with: go test ./installer/cli -update && git diff\ngot:\n%s", file, got)
	}
}

// schemaOf compiles one of the schemas in docs.
func schemaOf(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	for _, file := range []string{"events", "plan", "status", "verify"} {
		content, err := os.ReadFile(docs + file + ".schema.json")
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if err := compiler.AddResource("https://ss-server.invalid/"+file+".schema.json", doc); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile("https://ss-server.invalid/" + name + ".schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// validate holds every text to a schema.
func validate(t *testing.T, schema *jsonschema.Schema, texts ...string) {
	t.Helper()
	if err := validateAll(schema, texts); err != nil {
		t.Error(err)
	}
}

func validateAll(schema *jsonschema.Schema, texts []string) error {
	for _, text := range texts {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			return fmt.Errorf("not JSON: %w: %s", err, text)
		}
		if err := schema.Validate(value); err != nil {
			return fmt.Errorf("%w\nin: %s", err, text)
		}
	}
	return nil
}

// fakeProgram does what an install asks of a program of a release.
const fakeProgram = `#!/bin/sh
case $1 in
selftest)
	exit SELFTEST
	;;
migrate)
	while [ $# -gt 0 ]; do
		if [ "$1" = --data ]; then data=$2; fi
		shift
	done
	echo data > "$data/store.db"
	echo data > "$data/license.db"
	;;
changes)
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22; do
		echo "user \"anna$i\" of site main was changed: disabled true"
	done
	;;
esac
`

// makeBundle makes a package of fake programs in a folder of its own; setup is
// the program that it has as ss-setup, selftest what its self-tests exit with.
func makeBundle(t *testing.T, keys *signing.Vault, version, setup string, selftest int) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range release.Programs {
		program := strings.ReplaceAll(fakeProgram, "SELFTEST", strconv.Itoa(selftest))
		write("bin/"+name, program+"# "+version+"\n")
	}
	for _, name := range []string{"ss-server", "ss-licensed"} {
		write("services/systemd/"+name+".service", "[Service]\nUser={{.User}}\n# {{.Mounts}}\n")
		write("services/sysv/"+name, "#!/bin/sh\n")
		write("services/openrc/"+name, "#!/sbin/openrc-run\n")
	}
	out := filepath.Join(dir, "bundle")
	_, err := release.Bundle(release.Options{
		Version: version, Bin: filepath.Join(dir, "bin"), Services: filepath.Join(dir, "services"),
		Setup: setup, Out: out, OS: runtime.GOOS, Arch: runtime.GOARCH, Level: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	sign(t, keys, out, trust.Stable)
	return out
}

// newVault makes keys that live as long as the test.
func newVault(t *testing.T, development bool) *signing.Vault {
	t.Helper()
	keys := signing.Open(t.TempDir())
	if err := keys.Init(rand.Reader, development); err != nil {
		t.Fatal(err)
	}
	return keys
}

// sign signs the bundle in a folder and puts the metadata into it.
func sign(t *testing.T, keys *signing.Vault, dir, channel string) {
	t.Helper()
	err := keys.Publish([]signing.Publication{{Dir: dir, Info: trust.ReleaseInfo{Channel: channel}}}, 0)
	if err == nil {
		err = keys.CopyMetadata(filepath.Join(dir, trust.MetadataDir))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// serve makes a repository of the bundles in some folders and serves it.
func serve(t *testing.T, keys *signing.Vault, bundles ...string) string {
	t.Helper()
	dir := t.TempDir()
	var all []signing.Publication
	for _, b := range bundles {
		all = append(all, signing.Publication{Dir: b})
	}
	if err := errors.Join(signing.WriteFiles(dir, all), keys.UpdateSite(dir)); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(s.Close)
	return s.URL
}

// self is the program under test: this test binary.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// imageFiles are in the tree of a machine with systemd on which nothing runs.
var imageFiles = map[string]string{
	"usr/lib/systemd/systemd": "",
	"etc/passwd":              "root:x:0:0:root:/root:/bin/sh\n",
	"etc/group":               "root:x:0:\n",
}

// changing are the parts of what is printed that differ from run to run, and the
// recipe, which package plan has tests for.
var changing = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z`), "TIME"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "SHA256"},
	{regexp.MustCompile(`(\d+\.\d+\.\d+)-[0-9a-f]{8}\b`), "$1-DIGEST"},
	{regexp.MustCompile(`"steps":\[\{.*\}\]`), `"steps":["STEPS"]`},
	{regexp.MustCompile(`"(total|gate|commit)":\d+`), `"$1":0`},
	{regexp.MustCompile(`"(seconds|downtime_seconds)":[\d.]+`), `"$1":0.0`},
}

// steady replaces what differs from run to run.
func steady(text string) string {
	for _, c := range changing {
		text = c.pattern.ReplaceAllString(text, c.with)
	}
	return text
}
