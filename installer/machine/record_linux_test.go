//go:build faults

package machine

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
)

// recorded is an image with two generations and both services enabled.
func recorded(t *testing.T) (*FS, *Recorder) {
	t.Helper()
	files := map[string]string{
		"/usr/lib/systemd/systemd":              "",
		Current:                                 "-> generations/1",
		Generation(1) + "/release":              "-> ../../releases/7.0.0-aaaaaaaa",
		Generation(2) + "/release":              "-> " + Release("7.0.1-bbbbbbbb"),
		Release("7.0.0-aaaaaaaa/bin/ss-server"): "program",
		Release("7.0.1-bbbbbbbb/bin/ss-server"): "program",
	}
	d := systemdFiles{}.Definition(ServerService)
	for name, text := range enabled(d) {
		files[name] = text
	}
	f := image(t, files)
	r, err := NewRecorder(f)
	check(t, err)
	return f, r
}

func TestRecorderRemembersWhatWasStartedFromWhere(t *testing.T) {
	f, r := recorded(t)
	check(t, r.Start(t.Context(), ServerService))
	sum := sha256.Sum256([]byte("definition"))
	want := RecordedService{Generation: "1", Release: "7.0.0-aaaaaaaa", Definition: hex.EncodeToString(sum[:])}
	check(t, f.ReplaceLink("generations/2", Current))
	now, err := r.Recorded()
	if err != nil || now.Running[ServerService] != want {
		t.Errorf("runs %+v, %v", now, err)
	}
	state, err := r.State(t.Context(), ServerService)
	if err != nil || !state.Active || !state.Enabled {
		t.Errorf("state is %+v, %v", state, err)
	}
	check(t, r.Stop(t.Context(), ServerService))
	check(t, r.Stop(t.Context(), ServerService))
	check(t, r.Start(t.Context(), ServerService))
	calls, err := r.Calls()
	wantCalls := []string{
		"service-start ss-server 1 7.0.0-aaaaaaaa", "service-stop ss-server", "service-stop ss-server did not run",
		"service-start ss-server 2 7.0.1-bbbbbbbb",
	}
	if err != nil || !slices.Equal(calls, wantCalls) {
		t.Errorf("calls are %q, %v", calls, err)
	}
}

func TestRecorderRefusesWhatWouldNotStart(t *testing.T) {
	f, r := recorded(t)
	check(t, f.Remove(Release("7.0.0-aaaaaaaa/bin/ss-server")))
	if err := r.Start(t.Context(), ServerService); err == nil {
		t.Error("it started a release without its program")
	}
	if err := r.Start(t.Context(), LicensedService); err == nil {
		t.Error("it started a service that is unknown")
	}
	if now, err := r.Recorded(); err != nil || len(now.Running) > 0 {
		t.Errorf("runs %+v, %v", now, err)
	}
}

func TestRecorderAsksBeforeEachAct(t *testing.T) {
	f, r := recorded(t)
	forbidden := errors.New("forbidden")
	var asked []Op
	f.Before = func(op Op, _ string) error {
		asked = append(asked, op)
		return forbidden
	}
	acts := []error{
		r.Reload(t.Context()), r.Start(t.Context(), ServerService), r.Stop(t.Context(), ServerService),
		r.Detach(t.Context(), "guard", []string{"x"}, nil), r.EndDetached(t.Context(), "guard"),
	}
	for i, err := range acts {
		if !errors.Is(err, forbidden) {
			t.Errorf("act %d: %v", i, err)
		}
	}
	if want := []Op{OpServiceReload, OpServiceStart, OpServiceStop, OpDetach, OpEndDetached}; !slices.Equal(asked, want) {
		t.Errorf("asked %q", asked)
	}
	if calls, err := r.Calls(); err != nil || len(calls) > 0 {
		t.Errorf("calls are %q, %v", calls, err)
	}
}

func TestRecorderStartsWhatIsEnabledAtBoot(t *testing.T) {
	f, r := recorded(t)
	check(t, r.Detach(t.Context(), "guard", []string{"x"}, nil))
	check(t, f.ReplaceLink("generations/2", Current))
	check(t, r.Boot(t.Context(), ServerService, LicensedService))
	now, err := r.Recorded()
	if err != nil || len(now.Running) != 1 || now.Running[ServerService].Generation != "2" || len(now.Detached) > 0 {
		t.Errorf("runs %+v, %v", now, err)
	}
	if _, err := NewRecorder(&FS{}); err == nil {
		t.Error("it records on the running machine")
	}
}
