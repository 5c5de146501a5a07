package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRunThatIsRefusedLeavesNoLog(t *testing.T) {
	l := &logFile{}
	newLogger(l, false).Info("looked")
	if l.name() != "" {
		t.Error("there is a log")
	}
}

func TestLogBeginsWithWhatWasBeforeItWasOpened(t *testing.T) {
	l := &logFile{}
	log := newLogger(l, false)
	log.Info("before")
	path := filepath.Join(t.TempDir(), "run.log")
	if err := l.open(path); err != nil {
		t.Fatal(err)
	}
	log.Info("after")
	log.Debug("a change")
	l.close()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	if strings.Index(text, "before") > strings.Index(text, "after") || strings.Contains(text, "a change") {
		t.Errorf("log: %s", text)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
}

func TestLogThatAPurgeRemovedIsNotNamed(t *testing.T) {
	l := &logFile{}
	path := filepath.Join(t.TempDir(), "run.log")
	if err := l.open(path); err != nil {
		t.Fatal(err)
	}
	if l.name() != path {
		t.Errorf("named %q", l.name())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if l.name() != "" {
		t.Errorf("named %q", l.name())
	}
}

func TestLogsSortByTime(t *testing.T) {
	zone := time.FixedZone("east", 7200)
	got := standardLog("install", time.Date(2026, 1, 2, 3, 4, 5, 6e6, zone))
	if filepath.Base(got) != "20260102T010405.006Z-install.log" {
		t.Errorf("got %s", got)
	}
}

func TestNoPasswordOfAnAddressIsLogged(t *testing.T) {
	l := &logFile{}
	log := newLogger(l, true)
	const proxy = "http://me:s3@cret@proxy.example:3128"
	log.Info("begin", "arguments", "install --from https://me:s3cret@releases.example/ss --proxy "+proxy)
	log.Error("failed", "error", errors.New("cannot reach "+proxy+"/x: no"))
	log.Info("through " + proxy)
	text := l.waiting.String()
	if strings.Contains(text, "cret") || strings.Count(text, "proxy.example") != 3 || !strings.Contains(text, "releases.example/ss") {
		t.Errorf("log: %s", text)
	}
}
