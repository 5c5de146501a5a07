package web

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	eventInSource = regexp.MustCompile(`Event(?:: *|, out\.Outcome = | *= )"([a-z]+\.[a-z]+)"|\.Refused\("([a-z.]+)"\)`)
	fileOperation = regexp.MustCompile(`\b(?:observe|failed|change|renameBy|statBy|setstatBy)\((?:id, )?(?:f, )?"([a-z-]+)"`)
)

func TestEveryEventOfTheServerHasWords(t *testing.T) {
	found := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range eventInSource.FindAllStringSubmatch(string(text), -1) {
			found[m[1]+m[2]] = true
		}
		if strings.Contains(filepath.ToSlash(path), "/sftp3/") {
			for _, m := range fileOperation.FindAllStringSubmatch(string(text), -1) {
				found["file."+m[1]] = true
			}
		}
		return err
	})
	check(t, err)
	if len(found) < 30 {
		t.Errorf("only %d events were found in the sources", len(found))
	}
	for event := range found {
		if eventWords[event] == "" {
			t.Errorf("%s has none", event)
		}
	}
}
