package cli

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ss-setup/installer/machine"
	"ss-setup/installer/txn"
)

func lockable(t *testing.T) string {
	t.Helper()
	dir, err := machine.MakePrivateTemp(temporary)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestTwoDownloadsAtOnceKeepApartOnWindows(t *testing.T) {
	dir := lockable(t)
	first, err := lockFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockFolder(dir); !errors.Is(err, txn.ErrBusy) {
		t.Fatalf("a second run: %v", err)
	}
	// Who has it works in it as if nothing were.
	if err := os.WriteFile(dir+`\payload`, []byte("x"), 0o600); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Error(entries, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := lockFolder(dir)
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	_ = second.Close()
}

// The ss-setup of a package goes on with the download, also when the one that began it
// is killed.
func TestADownloadThatWasHandedOnStaysLockedOnWindows(t *testing.T) {
	if os.Getenv("TEST_HELD") != "" {
		os.Stdout.WriteString("here\n")
		time.Sleep(time.Minute)
		return
	}
	dir := lockable(t)
	held, err := lockFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run", t.Name())
	child.Env = append(os.Environ(), "TEST_HELD=1")
	if err := handOn(child, held); err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || strings.TrimSpace(line) != "here" {
		t.Fatalf("%q, %v", line, err)
	}
	_ = held.Close()
	if _, err := lockFolder(dir); !errors.Is(err, txn.ErrBusy) {
		t.Errorf("while the other one runs: %v", err)
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	free, err := lockFolder(dir)
	if err != nil {
		t.Fatalf("after both have ended: %v", err)
	}
	_ = free.Close()
	t.Setenv(stagedVariable, dir)
	if f, err := lockFolder(dir); f != nil || err != nil {
		t.Errorf("who goes on with it asks again: %v, %v", f, err)
	}
}

func TestOnlyAPrivateFolderIsTakenForStagedOnWindows(t *testing.T) {
	dir := lockable(t)
	if !private(dir) || makePrivate(dir) != nil {
		t.Error("a private folder is not taken for one")
	}
	if private(dir+`\none`) || private(os.Args[0]) {
		t.Error("what is no folder is taken for a private one")
	}
}
