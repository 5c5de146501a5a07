package step

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"ss-setup/installer/machine"
	"ss-setup/installer/txn"
)

// oldServed is where ss6-web serves.
var oldServed = Served{SSH: []string{oldUsers}, REST: []string{oldWeb}}

func listener(addr, process string) machine.Listener {
	return machine.Listener{Addr: netip.MustParseAddrPort(addr), PID: 7, Process: process, Program: "/usr/sbin/" + process}
}

func oldKit(t *testing.T) (*kit, *fakeProber) {
	t.Helper()
	k := newKit(t)
	withOld(k)
	return k, k.Prober.(*fakeProber)
}

// TestOfAnOldVersionOnlyWhatServesIsNoted: ports of transfers never come again, and what is
// somebody else's is not its own.
func TestOfAnOldVersionOnlyWhatServesIsNoted(t *testing.T) {
	t.Parallel()
	k, prober := oldKit(t)
	prober.others = []machine.Listener{listener("10.0.0.1:2222", "sshd"), listener("0.0.0.0:22", "sshd")}
	var u oldUndo
	must(t, json.Unmarshal(k.prepare(&StopOld{OldProduct: oldProduct}), &u))
	if !reflect.DeepEqual(u.Served, oldServed) {
		t.Errorf("%+v", u)
	}
}

// TestAnAddressThatSomebodyElseHasIsNotTheOldVersions: it has the others of that port.
func TestAnAddressThatSomebodyElseHasIsNotTheOldVersions(t *testing.T) {
	t.Parallel()
	k, prober := oldKit(t)
	prober.others = []machine.Listener{listener(oldUsers, "sshd")}
	var u oldUndo
	must(t, json.Unmarshal(k.prepare(&StopOld{OldProduct: oldProduct}), &u))
	if len(u.SSH) != 0 {
		t.Errorf("%+v", u)
	}
}

func TestAStopWaitsForTheOldVersionsOwnSocketsAlone(t *testing.T) {
	t.Parallel()
	k, prober := oldKit(t)
	prober.others = []machine.Listener{listener("10.0.0.1:2222", "sshd")}
	must(t, k.do(&StopOld{OldProduct: oldProduct}))

	k, prober = oldKit(t)
	prober.left = true
	if err := k.do(&StopOld{OldProduct: oldProduct}); err == nil || !strings.Contains(err.Error(), "ss6-web (process 99) still listens") {
		t.Errorf("a process is left: %v", err)
	}
	k.EndOwner = func(l machine.Listener) error {
		if l.PID != 99 {
			t.Errorf("%+v is ended", l)
		}
		prober.left = false
		return nil
	}
	must(t, k.do(&StopOld{OldProduct: oldProduct}))
}

// TestTheOldVersionServesByItsOwnProgramsAlone: sshd at its address proves nothing.
func TestTheOldVersionServesByItsOwnProgramsAlone(t *testing.T) {
	t.Parallel()
	start := &StartOld{OldProduct: oldProduct, Served: oldServed}
	for name, c := range map[string]struct {
		spoil func(*fakeProber)
		want  string
	}{
		"it serves":                    {func(*fakeProber) {}, ""},
		"somebody else has its port":   {func(p *fakeProber) { p.others = []machine.Listener{listener(oldUsers, "sshd")} }, "sshd (process 7) listens at " + oldUsers},
		"it greets nobody":             {func(p *fakeProber) { p.silent = oldUsers }, "nothing was said"},
		"its web interface is silent":  {func(p *fakeProber) { p.webDown = true }, "no answer"},
		"somebody has another address": {func(p *fakeProber) { p.others = []machine.Listener{listener("10.0.0.1:2222", "sshd")} }, ""},
	} {
		k, prober := oldKit(t)
		c.spoil(prober)
		err := k.do(start)
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAnOldVersionThatDoesNotServeAgainIsNotPutBack: a machine without a service is left
// changed, whatever ran.
func TestAnOldVersionThatDoesNotServeAgainIsNotPutBack(t *testing.T) {
	t.Parallel()
	k, prober := oldKit(t)
	stop := &StopOld{OldProduct: oldProduct}
	undo := k.prepare(stop)
	must(t, k.do(stop))
	prober.silent = oldUsers
	if err := k.undo(stop, undo); err == nil || !strings.Contains(err.Error(), "do not serve as before") {
		t.Errorf("%v", err)
	}
	prober.silent = ""
	must(t, k.undo(stop, undo))
}

// TestWhatStartsAnOldVersionAllTheSameIsNamed: a timer before anything stops, anything else
// before the switch.
func TestWhatStartsAnOldVersionAllTheSameIsNamed(t *testing.T) {
	t.Parallel()
	k, _ := oldKit(t)
	k.services.starters = map[string][]string{"ss6-idle": {"ss6-web.service", "ss6-nightly.timer"}}
	if _, err := (&StopOld{OldProduct: oldProduct}).Prepare(t.Context(), k.Machine); err == nil || !strings.Contains(err.Error(), "systemctl disable --now ss6-nightly.timer") {
		t.Errorf("%v", err)
	}
	k.services.starters = map[string][]string{"ss6-idle": {"ss6-web.service", "backup.target"}}
	k.prepare(&StopOld{OldProduct: oldProduct})
	if err := k.do(&DisableServices{Services: oldProduct.Services}); err == nil || !strings.Contains(err.Error(), "backup.target starts ss6-idle") {
		t.Errorf("%v", err)
	}
}

// TestAWorkerThatOthersStartedMayBeGone: it has no link that starts it, and what made it is
// not there any more.
func TestAWorkerThatOthersStartedMayBeGone(t *testing.T) {
	t.Parallel()
	k, prober := oldKit(t)
	const worker = "ss6-worker@default"
	product := OldProduct{Services: []string{"ss6-web", worker}, Where: oldPlace}
	k.services.active[worker] = true
	stop := &StopOld{OldProduct: product}
	undo := k.prepare(stop)
	must(t, k.do(stop))
	k.services.broken = map[string]bool{worker: true}
	must(t, k.undo(stop, undo))
	must(t, k.do(&StartOld{OldProduct: OldProduct{Services: []string{"ss6-web"}, Where: oldPlace}, Others: []string{worker}, Served: oldServed}))
	prober.silent = oldUsers
	if err := k.undo(stop, undo); err == nil || !strings.Contains(err.Error(), worker+" does not start") {
		t.Errorf("it does not serve without the worker: %v", err)
	}
}

// TestAServiceBetweenTwoTriesIsStartedAgain: at that instant it does not run.
func TestAServiceBetweenTwoTriesIsStartedAgain(t *testing.T) {
	t.Parallel()
	k, _ := oldKit(t)
	k.services.active = map[string]bool{}
	k.services.failed = map[string]bool{"ss6-web": true}
	stop := &StopOld{OldProduct: oldProduct}
	undo := k.prepare(stop)
	must(t, k.do(stop))
	must(t, k.undo(stop, undo))
	if !k.services.active["ss6-web"] || k.services.active["ss6-idle"] {
		t.Errorf("%v", k.services.running())
	}
}

// TestAnOldVersionOfWhichNothingIsKnownIsToAnswerSomewhere: it was not running at the
// upgrade, or the receipt is an older one.
func TestAnOldVersionOfWhichNothingIsKnownIsToAnswerSomewhere(t *testing.T) {
	t.Parallel()
	k, prober := oldKit(t)
	start := &StartOld{OldProduct: oldProduct}
	must(t, k.do(start))
	prober.webDown = true
	if err := k.do(start); err == nil || !strings.Contains(err.Error(), "answers nowhere") {
		t.Errorf("%v", err)
	}
}

// upgrading is a machine in the middle of an upgrade: the old version has been stopped.
func upgrading(t *testing.T, imports Import) (*kit, *fakeProber) {
	t.Helper()
	k, prober := oldKit(t)
	prober.version = "7.0.0"
	k.Import = &imports
	must(t, k.FS.RemoveAll(machine.TxnDir))
	e := &txn.Engine[*Machine]{FS: k.FS, Dir: machine.TxnDir, Kinds: Kinds(), Log: k.Log}
	_, err := e.Run(t.Context(), k.Machine, Plan{Verb: "install", Steps: []Step{&StopOld{OldProduct: oldProduct}, &leave{}}, Gate: 1, Commit: 1}, txn.Options{NoRollback: true})
	must(t, err)
	k.Import = nil // as a recovery has it
	return k, prober
}

// TestARecoveryOwesUsersTheGreetingsThatTheRunDid: it reads in the journal where the old
// version greeted.
func TestARecoveryOwesUsersTheGreetingsThatTheRunDid(t *testing.T) {
	t.Parallel()
	wait := &WaitHealth{Services: []string{"ss-server"}, Generation: 1, Version: "7.0.0", AfterOld: true}
	k, prober := upgrading(t, Import{SameSites: true})
	must(t, k.do(wait))
	prober.silent = oldUsers
	if err := k.do(wait); !errors.Is(err, ErrReleaseFailed) || !strings.Contains(err.Error(), oldUsers) {
		t.Errorf("%v", err)
	}
	k, prober = upgrading(t, Import{})
	prober.silent = oldUsers
	if err := k.do(wait); err != nil {
		t.Errorf("a site was agreed to be lost: %v", err)
	}
	prober.bindings = []Binding{{Site: "default", Name: "ssh", Address: ":2222", Problem: "address already in use"}}
	if err := k.do(wait); !errors.Is(err, ErrReleaseFailed) || !strings.Contains(err.Error(), "already in use") {
		t.Errorf("a binding does not listen: %v", err)
	}
	k, prober = upgrading(t, Import{SameSites: true})
	prober.silent = oldUsers
	prober.bindings = []Binding{{Site: "default", Name: "ssh", Address: ":2222", Listening: true, RefusedFrom: []string{"127.0.0.1"}}}
	if err := k.do(wait); err != nil {
		t.Errorf("its lists refuse this machine: %v", err)
	}
}

func TestTheReceiptTellsWhereTheOldVersionServed(t *testing.T) {
	t.Parallel()
	k, _ := upgrading(t, Import{SameSites: true})
	w := &WriteReceipt{Predecessor: json.RawMessage(`{"major":6,"services":[]}`)}
	text, err := w.predecessor(k.Machine)
	must(t, err)
	var is struct {
		Major  int
		Served Served
	}
	must(t, json.Unmarshal(text, &is))
	if is.Major != 6 || !reflect.DeepEqual(is.Served, oldServed) {
		t.Errorf("%s", text)
	}
}

// TestASiteThatSomebodyStartedIsOwedByNobody: neither version starts it by itself, so that it
// keeps nobody from going on or back.
func TestASiteThatSomebodyStartedIsOwedByNobody(t *testing.T) {
	t.Parallel()
	wait := &WaitHealth{Services: []string{"ss-server"}, Generation: 1, Version: "7.0.0", AfterOld: true}
	for name, c := range map[string]struct {
		imports Import
		owed    bool
	}{
		"it alone":            {Import{SameSites: true, ByHand: []string{":2222"}, AtStart: []string{":22"}}, false},
		"at that address":     {Import{SameSites: true, ByHand: []string{"127.0.0.1:2222"}}, false},
		"at another":          {Import{SameSites: true, ByHand: []string{"10.0.0.1:2222", "[::1]:2222", ":22"}}, true},
		"and one that starts": {Import{SameSites: true, ByHand: []string{":2222"}, AtStart: []string{"0.0.0.0:2222"}}, true},
	} {
		k, prober := upgrading(t, c.imports)
		prober.silent = oldUsers
		if err := k.do(wait); (err != nil) != c.owed {
			t.Errorf("%s: the new version: %v", name, err)
		}
		left, err := leftOld(k.Machine)
		must(t, err)
		prober.silent, k.warnings = oldUsers, nil
		start := &StartOld{OldProduct: oldProduct, Served: left.Served}
		if err := k.do(start); (err != nil) != c.owed || k.warned("by a site that is started by hand") == c.owed {
			t.Errorf("%s: back to the old one: %v, %q", name, err, k.warnings)
		}
		undo, err := json.Marshal(left)
		must(t, err)
		if err := k.undo(&StopOld{OldProduct: oldProduct}, undo); (err != nil) != c.owed {
			t.Errorf("%s: put back: %v", name, err)
		}
	}
}

func TestTheWebInterfaceOfAnOldVersionTellsItsVersion(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		`{"version":"6.2.60"}`: "", "<html>": "does not tell its version", "": "404",
	} {
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if answer == "" || r.URL.Path != "/api/v1/version" {
				http.NotFound(w, r)
				return
			}
			_, _ = w.Write([]byte(answer))
		}))
		err := NewProber(nil).AnswersOld(t.Context(), server.Listener.Addr().(*net.TCPAddr).String())
		server.Close()
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", answer, err)
		}
	}
}
