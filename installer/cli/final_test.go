package cli

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSetupPageIsNamedAsABrowserReachesIt(t *testing.T) {
	for host, want := range map[string]string{
		"127.0.0.1": "https://127.0.0.1:6443/init/setup",
		"::1":       "https://[::1]:6443/init/setup",
		"10.0.0.5":  "https://10.0.0.5:6443/init/setup",
		"fd00::5":   "https://[fd00::5]:6443/init/setup",
		"files":     "https://files:6443/init/setup",
	} {
		if got := setupURLs(host, "6443"); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q", host, got)
		}
	}
	for _, host := range []string{"", "0.0.0.0", "::"} {
		got := setupURLs(host, "8443")
		if got[0] != "https://127.0.0.1:8443/init/setup" {
			t.Errorf("%q: %q", host, got)
		}
		for _, url := range got[1:] {
			if strings.Contains(url, "127.0.0.1") || strings.Contains(url, "[::1]") {
				t.Errorf("%q: %s reaches nobody else", host, url)
			}
		}
	}
}

func TestSizesAndAgesForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 200 << 20: "200.0 MiB", 5 << 40: "5.0 TiB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for since, want := range map[time.Duration]string{
		time.Second: "now", 59 * time.Minute: "59 min", 47 * time.Hour: "47 h", 50 * time.Hour: "2 days",
	} {
		if got := age(now.Add(-since), now); got != want {
			t.Errorf("%s: %s, want %s", since, got, want)
		}
	}
	if got := age(time.Time{}, now); got != "-" {
		t.Errorf("no time: %s", got)
	}
}

func TestFlagsMayStandAfterArguments(t *testing.T) {
	p := &programme{}
	for _, c := range []struct{ given, want string }{
		{"forget 3 --yes", "forget --yes 3"},
		{"forget 3 --root dir --yes", "forget --root dir --yes 3"},
		{"forget --log=x 3 -S", "forget --log=x -S 3"},
		{"forget -- --yes", "forget -- --yes"},
		{"supervise guard -- prog --flag", "supervise guard -- prog --flag"},
		{"nothing 3 --yes", "nothing 3 --yes"},
	} {
		p.args = strings.Fields(c.given)
		if got := strings.Join(p.arranged(p.app()), " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.given, got, c.want)
		}
	}
}
