//go:build linux && lab

package snapshot_test

import (
	"strings"
	"testing"
	"time"

	"ss-setup/scripts/lab"
	"ss-setup/scripts/lab/snapshot"
)

func ofMachine(t *testing.T, m *lab.Machine) *snapshot.Snapshot {
	t.Helper()
	var s *snapshot.Snapshot
	start := time.Now()
	err := m.Inside(func() (err error) {
		s, err = snapshot.Take("/", snapshot.Options{Ignore: snapshot.Volatile})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files in %s", len(s.Files), time.Since(start).Round(time.Millisecond))
	return s
}

func TestMachineDiffersOnlyByWhatWasDoneToIt(t *testing.T) {
	for _, root := range []string{"bookworm", "bookworm-sysv", "bookworm-openrc"} {
		t.Run(root, func(t *testing.T) {
			m := lab.Boot(t, lab.Options{Root: root})
			before := ofMachine(t, m)
			m.Sync()
			m.Kill9(lab.SystemFirst, 0)
			m.Start()
			if diff := snapshot.Diff(before, ofMachine(t, m)); len(diff) > 0 {
				t.Errorf("a power cut changed\n%s", strings.Join(diff, "\n"))
			}
			m.MustExec("useradd", "--system", "--shell", "/bin/false", "ss-server")
			m.MustExec("install", "-D", "-o", "ss-server", "-m", "0600", "-T", "/etc/hosts", "/opt/ss/file")
			diff := snapshot.Diff(before, ofMachine(t, m))
			if len(diff) != 6 ||
				!strings.HasPrefix(diff[0], "+ /opt/ss: folder root:root 0755") ||
				!strings.HasPrefix(diff[1], "+ /opt/ss/file: file ss-server:root 0600") {
				t.Errorf("got\n%s", strings.Join(diff, "\n"))
			}
			m.MustExec("userdel", "ss-server")
			m.MustExec("rm", "-r", "/opt/ss")
			if diff := snapshot.Diff(before, ofMachine(t, m)); len(diff) > 0 {
				t.Errorf("not as before\n%s", strings.Join(diff, "\n"))
			}
		})
	}
}
