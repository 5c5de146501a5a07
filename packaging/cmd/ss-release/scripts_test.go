package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestScriptsAreRenderedForTheOperatorsAddress(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ss-server-7.0.0-linux-amd64.tar.gz"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	good := "scripts --version 7.0.0 --templates ../../../scripts/install --targets linux/amd64 --dist " + dir + " --out " + dir
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{good + " --base-url https://downloads.test --mirror https://a.test --mirror https://b.test/ss", 0, "ss-setup-linux-x64w.sh"},
		{good + " --base-url http://downloads.test", 0, "warning"},
		{good, 1, "--base-url"},
		{good + " --base-url ftp://downloads.test", 1, "ftp://downloads.test"},
		{good + " --mirror https://a.test", 1, "--base-url"},
		{good + " here", 2, "takes flags only"},
		{good + " --host downloads.test", 2, "host"},
		{"scripts --templates ../../../scripts/install --version 7.0.1 --base-url https://downloads.test --dist " + dir + " --out " + dir, 1, "ss-server-7.0.1-linux-amd64.tar.gz"},
	} {
		t.Run(c.args, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(strings.Fields(c.args), &stdout, &stderr)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if said := stdout.String() + stderr.String(); !strings.Contains(said, c.says) {
				t.Errorf("said %q, want %q in it", said, c.says)
			}
		})
	}
	text, err := os.ReadFile(filepath.Join(dir, "ss-setup-linux-x64c.sh"))
	if err != nil || !bytes.Contains(text, []byte("'http://downloads.test'")) {
		t.Errorf("the script does not name the address: %v", err)
	}
}

func TestNoScriptIsWrittenWhereOneCannotBe(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ss-server-7.0.0-linux-amd64.tar.gz"), "")
	out := filepath.Join(dir, "out")
	args := []string{"scripts", "--version", "7.0.0", "--templates", "../../../scripts/install", "--dist", dir, "--out", out, "--base-url", "https://downloads.test"}
	says(t, call(t, 1, args...), "ss-server-7.0.0-linux-arm64.tar.gz", "--targets")
	if left, err := os.ReadDir(out); err == nil && len(left) > 0 {
		t.Errorf("there is %v", left)
	}
}
