package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"ss-setup/installer/machine"
	"ss-setup/installer/plan"
	"ss-setup/installer/step"
)

func TestSetupPageIsNamedAsABrowserReachesIt(t *testing.T) {
	for host, want := range map[string]string{
		"127.0.0.1": "https://127.0.0.1:6443/init/setup",
		"::1":       "https://[::1]:6443/init/setup",
		"10.0.0.5":  "https://10.0.0.5:6443/init/setup",
		"fd00::5":   "https://[fd00::5]:6443/init/setup",
		"files":     "https://files:6443/init/setup",
	} {
		if got := urls(host, "6443", setupPage); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q", host, got)
		}
	}
	for _, host := range []string{"", "0.0.0.0", "::"} {
		got := urls(host, "8443", setupPage)
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

// screen is the final screen of a run.
func screen(t *testing.T, r Result) string {
	t.Helper()
	var out strings.Builder
	printResult(&out, Event{Event: eventResult, Message: "done", Result: &r})
	return out.String()
}

func TestFinalScreenOfAFirstInstallLeadsToTheSetupPage(t *testing.T) {
	zone := time.Local
	time.Local = time.FixedZone("CET", 3600)
	t.Cleanup(func() { time.Local = zone })
	until := time.Date(2026, 11, 21, 22, 27, 23, 0, time.UTC)
	got := screen(t, Result{
		URLs: []string{"https://127.0.0.1:6443/init/setup"}, SetupCode: "ABCD-EFGH", CodeExpires: &until, NewCode: "ss-server genssc", Fresh: true,
	})
	for _, want := range []string{
		"Set it up at     https://127.0.0.1:6443/init/setup", "ABCD-EFGH   (valid for 5 minutes, until 23:27:23 CET)", "New setup code   ss-server genssc",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not told:\n%s", want, got)
		}
	}
}

func TestFinalScreenOfAnUpdateLeadsToTheWebUI(t *testing.T) {
	got := screen(t, Result{URLs: []string{"https://127.0.0.1:6443/"}, NewCode: "ss-server genssc"})
	for _, want := range []string{"Web UI                   https://127.0.0.1:6443/", "If it is not set up yet   ss-server genssc"} {
		if !strings.Contains(strings.Join(strings.Fields(got), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("%q is not told:\n%s", want, got)
		}
	}
	if strings.Contains(got, "Set it up at") {
		t.Errorf("an update is no first install:\n%s", got)
	}
}

func TestOnlyCopiesOfOurFilesCountAsKept(t *testing.T) {
	for name, want := range map[string]bool{
		"ss-server.service.ss-old": true, "ss-licensed.ss-old.1": true, "lmu.ss-save": true, "ss-setup.ss-save.2": true, "server.toml.ss-save": true,
		"ss-server.service": false, "nginx.service.ss-old": false, ".ss-old": false, "lmu.ss-savings": false,
	} {
		if got := isKept(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestStatusTellsWhyAServiceFailedAndHowToStartIt(t *testing.T) {
	var out strings.Builder
	printDown(&out, []DownService{
		{Service: "ss-licensed", State: "failed", Log: "journalctl -u ss-licensed -n 30 --no-pager", Start: "systemctl start ss-licensed"},
		{Service: "ss-server", State: "stopped", Start: "systemctl start ss-server"},
	})
	want := "\nTo see why ss-licensed failed, run: journalctl -u ss-licensed -n 30 --no-pager\n" +
		"To start ss-licensed, run: systemctl start ss-licensed\n\nTo start ss-server, run: systemctl start ss-server\n"
	if out.String() != want {
		t.Errorf("got:%s", out.String())
	}
}

func TestStatusListsWhereUsersAreServed(t *testing.T) {
	var out strings.Builder
	printBindings(&out, Status{Bindings: []step.Binding{
		{Site: "main", Name: "sftp", Address: ":2222", Listening: true},
		{Site: "partners", Name: "second", Address: "192.0.2.1:22", Problem: "address already in use"},
	}})
	want := "\nSFTP SITE   BINDING   ADDRESS        STATE\n" +
		"main        sftp      :2222          listens\n" +
		"partners    second    192.0.2.1:22   does not listen: address already in use\n"
	if out.String() != want {
		t.Errorf("got:%s", out.String())
	}
	out.Reset()
	printBindings(&out, Status{BindingsUnknown: "connection refused"})
	if want := "\nss-server does not tell where users reach it: connection refused\n"; out.String() != want {
		t.Errorf("got:%s", out.String())
	}
}

// TestStatusAsksTheServerThatRuns: one that is stopped, or in an image, serves nobody.
func TestStatusAsksTheServerThatRuns(t *testing.T) {
	answer := []step.Binding{{Site: "main", Name: "sftp", Address: ":22", Listening: true}}
	for _, c := range []struct {
		active, offline bool
		fails           error
		bindings        int
		unknown         string
	}{
		{active: true, bindings: 1},
		{active: true, fails: errors.New("it does not answer"), unknown: "it does not answer"},
		{active: true, offline: true},
		{},
	} {
		s := &session{m: &step.Machine{Prober: answering{answer, c.fails}}}
		s.options.Offline = c.offline
		st := Status{Installed: true, Generation: 3, Services: map[string]machine.ServiceState{machine.ServerService: {Active: c.active}}}
		s.askBindings(t.Context(), &st)
		if len(st.Bindings) != c.bindings || st.BindingsUnknown != c.unknown {
			t.Errorf("%+v: %+v, %q", c, st.Bindings, st.BindingsUnknown)
		}
	}
}

// TestPortsOfImportedSitesAreToBeOpenedAsWell: an update's are as they were.
func TestPortsOfImportedSitesAreToBeOpenedAsWell(t *testing.T) {
	s := newSession(settings{verb: "install", output: outputPlain}, Streams{Out: io.Discard, Err: io.Discard})
	s.m = &step.Machine{Prober: answering{bindings: []step.Binding{
		{Address: ":22", Listening: true}, {Address: "127.0.0.1:2022"}, {Address: "192.0.2.1:2222"}, {Address: "[::]:22"},
	}}}
	if got := fmt.Sprint(s.portsForUsers(t.Context(), 3, ":6443")); got != "[6443]" {
		t.Errorf("without an import: %s", got)
	}
	s.m.Import = &step.Import{}
	for web, want := range map[string]string{":6443": "[6443 22 2222]", "127.0.0.1:6443": "[22 2222]"} {
		if got := fmt.Sprint(s.portsForUsers(t.Context(), 3, web)); got != want {
			t.Errorf("%s: got %s", web, got)
		}
	}
}

// answering is a server of generation 3.
type answering struct {
	bindings []step.Binding
	fails    error
}

func (a answering) Probe(_ context.Context, service string, n int) (step.Health, error) {
	if service != machine.ServerService || n != 3 || a.fails != nil {
		return step.Health{}, a.fails
	}
	return step.Health{Bindings: a.bindings}, nil
}

func (answering) Listeners() ([]machine.Listener, error) { return nil, nil }

func (answering) Greets(context.Context, string) error     { return nil }
func (answering) AnswersOld(context.Context, string) error { return nil }
func (answering) PortsFree(context.Context, string) error  { return nil }

func TestVerifyNamesWhatHelps(t *testing.T) {
	failed := []DownService{{Service: "ss-server", State: "failed", Log: "journalctl -u ss-server", Start: "systemctl start ss-server"}}
	stopped := []DownService{{Service: "ss-server", State: "stopped", Start: "systemctl start ss-server"}}
	running := plan.Deviation{Path: "ss-server", Kind: plan.KindRunning, Expected: "running", Found: "failed"}
	missing := plan.Deviation{Path: "/usr/bin/lmu", Kind: "missing", Expected: "link"}
	for name, c := range map[string]struct {
		v    Verified
		want []string
		not  string
	}{
		"a failed service": {
			Verified{Deviations: []plan.Deviation{running}, down: failed},
			[]string{"ss-server does not run: it failed", "journalctl -u ss-server", "The files of SS Server"},
			"--repair",
		},
		"a stopped service": {
			Verified{OK: true, Stopped: []string{"ss-server"}, down: stopped},
			[]string{"ss-server does not run: it was stopped. To start it, run: systemctl start ss-server", "as it was installed"},
			"--repair",
		},
		"a missing file": {
			Verified{Deviations: []plan.Deviation{missing}},
			[]string{"1 difference from what was installed; to put it right, run: ss-setup install --repair"},
			"systemctl",
		},
		"two missing files": {
			Verified{Deviations: []plan.Deviation{missing, missing}},
			[]string{"2 differences from what was installed; to put them right"},
			"systemctl",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			printVerified(&out, c.v)
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is not told:\n%s", want, out.String())
				}
			}
			if strings.Contains(out.String(), c.not) {
				t.Errorf("%q is told:\n%s", c.not, out.String())
			}
		})
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
