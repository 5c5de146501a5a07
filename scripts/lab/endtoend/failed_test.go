//go:build linux && lab

package endtoend

import (
	"context"
	"strings"
	"testing"
	"time"

	"ss-setup/scripts/lab"
)

func TestAServiceThatFailedIsToldWithTheCommandsThatHelp(t *testing.T) {
	starts := map[string]string{
		"bookworm": "systemctl start ss-licensed", "bookworm-sysv": "service ss-licensed start", "bookworm-openrc": "rc-service ss-licensed start",
	}
	for _, root := range inits {
		t.Run(root, func(t *testing.T) {
			t.Parallel()
			b := from(t, lab.Options{Root: root}, "7.0.0")
			// It dies and cannot come back, as its configuration is wrong.
			b.MustExec("sh", "-c", "cp /etc/ss-server/licensed.toml /root/; echo 'listen = 5' > /etc/ss-server/licensed.toml; kill -9 $(pidof ss-licensed)")
			b.says("failed", `"state": "failed"`, "status", "--json")
			b.says(starts[root], "failed", "status")

			r := b.want(7, "7.0.0", "verify")
			if !strings.Contains(r.stdout, "ss-licensed does not run: it failed") || !strings.Contains(r.stdout, starts[root]) {
				t.Errorf("verify says: %s", r)
			}
			stdout, stderr, code := b.Exec(context.Background(), "lmu", "--config", "/root/licensed.toml")
			if code == 0 || !strings.Contains(stderr, starts[root]) {
				t.Errorf("lmu ends with %d and says %s%s", code, stdout, stderr)
			}

			b.MustExec("sh", "-c", "cp /root/licensed.toml /etc/ss-server/ && "+starts[root])
			b.licensed(recoveryTime)
			b.must("7.0.0", "verify")

			// What somebody stopped is told, but it is no deviation.
			b.service("stop", "ss-server")
			r = b.must("7.0.0", "verify")
			if !strings.Contains(r.stdout, "ss-server does not run: it was stopped") || !strings.Contains(r.stdout, "is as it was installed") {
				t.Errorf("verify says: %s", r)
			}
		})
	}
}

// says waits until ss-setup says both texts.
func (b *box) says(one, other string, args ...string) {
	b.t.Helper()
	var r result
	for end := time.Now().Add(recoveryTime); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		r = b.setup("7.0.0", args...)
		if strings.Contains(r.stdout, one) && strings.Contains(r.stdout, other) {
			return
		}
	}
	b.t.Fatalf("ss-setup %s never says %q and %q: %s\n%s", strings.Join(args, " "), one, other, r, b.Logs())
}
