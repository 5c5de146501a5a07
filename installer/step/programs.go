package step

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"ss-setup/installer/machine"
)

// Exec runs a release's programs as processes of the machine.
type Exec struct {
	FS       *machine.FS
	Accounts machine.Accounts
}

// progressLine is what the programs print on standard output with --json.
type progressLine struct {
	Done    int64  `json:"done"`
	Total   int64  `json:"total"`
	Message string `json:"message"`
}

// Run implements Programs. The program dies with this process, so that nothing
// writes into a store that is being put back. Below a root it runs as the
// caller: the accounts of the image have no meaning here.
func (e *Exec) Run(ctx context.Context, c Command) error {
	cmd := exec.CommandContext(ctx, e.FS.Real(c.Path), c.Args...)
	cmd.Dir = programFolder
	cmd.Env = programEnv()
	uid, gid := 0, 0
	if c.User != "" && e.FS.Root == "" {
		var err error
		if uid, gid, err = e.Accounts.Lookup(c.User); err != nil {
			return fmt.Errorf("look up account %s: %w", c.User, err)
		}
	}
	cmd.SysProcAttr = childAttr(uid, gid, c.User != "" && e.FS.Root == "")
	if len(c.Input) > 0 {
		cmd.Stdin = bytes.NewReader(c.Input)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	// The kernel watches the thread that started the child, not the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run %s: %w", filepath.Base(c.Path), err)
	}
	release, err := tieToUs(cmd.Process)
	if err != nil {
		return errors.Join(fmt.Errorf("run %s: %w", filepath.Base(c.Path), err), cmd.Process.Kill(), cmd.Wait())
	}
	defer release()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if c.Line != nil {
			c.Line(lines.Bytes())
		}
		var p progressLine
		if json.Unmarshal(lines.Bytes(), &p) == nil && p.Total > 0 && c.Progress != nil {
			c.Progress(p.Done, p.Total)
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s %s: %w%s", filepath.Base(c.Path), c.Args[0], err, lastLine(stderr.String()))
	}
	return nil
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return ""
	}
	return ": " + s[strings.LastIndexByte(s, '\n')+1:]
}
