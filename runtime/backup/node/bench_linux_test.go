package node_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ss-setup/runtime/backup"
	"ss-setup/runtime/engine"
)

// manyUsers is how many the figures are for.
const manyUsers = 100_000

// peakEnv has a process of the test measure itself: the machine's folder, the backup, and
// "backup" or "restore".
const peakEnv = "SS_BACKUP_PEAK"

// measured does one of the two and tells its peak of memory, in KiB.
func measured(args []string) error {
	root, file, what := args[0], args[1], args[2]
	if what == "restore" {
		if err := victim([]string{root, file, ""}); err != nil {
			return err
		}
	} else if err := backupIn(root, file); err != nil {
		return err
	}
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			fmt.Println("peak", strings.Fields(rest)[0])
		}
	}
	return nil
}

func backupIn(root, file string) error {
	m := &machine{Place: placeIn(root, 1)}
	st, err := m.Schema.OpenReadOnly(m.Data)
	if err != nil {
		return err
	}
	defer st.Close()
	e, err := engine.Open(engine.Options{Store: st, Now: time.Now})
	if err != nil {
		return err
	}
	defer e.Close()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = m.Backup(context.Background(), f, e, backup.WriteOptions{})
	return err
}

// BenchmarkHundredThousandUsers measures a backup and its restore, each in a process of
// its own: seconds, and the peak of memory with the pages of the stores in it.
func BenchmarkHundredThousandUsers(b *testing.B) {
	from, to := newMachine(b, 1), newMachine(b, 1)
	from.furnish(b, "romantic-lovelace", manyUsers)
	file := filepath.Join(b.TempDir(), "backup.zip")
	run := func(m *machine, what string) {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), peakEnv+"="+strings.Join([]string{m.State, file, what}, "\n"))
				out, err := cmd.CombinedOutput()
				if err != nil {
					b.Fatalf("%v\n%s", err, out)
				}
				_, peak, _ := bytes.Cut(out, []byte("peak "))
				kib, _ := strconv.ParseFloat(strings.TrimSpace(string(peak)), 64)
				b.ReportMetric(kib/1024, "MiB-peak")
			}
		})
	}
	run(from, "backup")
	if info, err := os.Stat(file); err == nil {
		b.Logf("the backup has %d bytes", info.Size())
	}
	run(to, "restore")
}
