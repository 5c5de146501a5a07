package migrate_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ss-setup/migrate/importer"
)

var update = flag.Bool("update", false, "write what the imports of testdata give as what they must")

// TestEveryRuleHasAnImportToShow imports each folder of testdata - a backup that was
// unpacked, passwords.txt where it needs some, and the system in os.txt - and compares objects and report with
// what stands beside it.
func TestEveryRuleHasAnImportToShow(t *testing.T) {
	cases, err := filepath.Glob(filepath.Join("testdata", "import", "*"))
	if err != nil || len(cases) == 0 {
		t.Fatal("there are none", err)
	}
	for _, dir := range cases {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var o importer.Options
			if text, err := os.ReadFile(filepath.Join(dir, "passwords.txt")); err == nil {
				o.Passwords = strings.Fields(string(text))
			}
			if system, err := os.ReadFile(filepath.Join(dir, "os.txt")); err == nil {
				o.OS = strings.TrimSpace(string(system))
			}
			got := importPath(t, folder(t, filepath.Join(dir, "backup")).zip(t), o).text(t)
			golden := filepath.Join(dir, "want.txt")
			if *update {
				must(t, os.WriteFile(golden, []byte(got), 0o644))
			}
			want, err := os.ReadFile(golden)
			must(t, err)
			if got != string(want) {
				t.Errorf("run with -update and look at the difference; got\n%s", got)
			}
		})
	}
}
