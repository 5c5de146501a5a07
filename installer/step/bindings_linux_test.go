package step

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"ss-setup/installer/machine"
)

const listenedBefore = `[{"site":"main","name":"sftp","address":":22","listening":true},{"site":"main","name":"lb","address":":2022","listening":true,"proxied":true}]`

func TestUsersAreServedAgainWhereverTheyWereBeforeAnUpdateIsCommitted(t *testing.T) {
	t.Parallel()
	listens := Binding{Site: "main", Name: "sftp", Address: ":22", Listening: true}
	taken := Binding{Site: "main", Name: "sftp", Address: ":22", Problem: "address already in use"}
	balanced := Binding{Site: "main", Name: "lb", Address: ":2022", Listening: true, Proxied: true}
	fenced := Binding{Site: "main", Name: "sftp", Address: ":22", Listening: true, RefusedFrom: []string{"127.0.0.1", "::1"}}
	half := Binding{Site: "main", Name: "sftp", Address: ":22", Listening: true, RefusedFrom: []string{"::1"}}
	const fencedBefore = `[{"site":"main","name":"sftp","address":":22","listening":true,"refused_from":["127.0.0.1","::1"]}]`
	for name, c := range map[string]struct {
		before string
		now    []Binding
		silent string
		want   string
	}{
		"all listen":                        {listenedBefore, []Binding{listens, balanced}, "", ""},
		"one does not":                      {listenedBefore, []Binding{taken, balanced}, "", "binding sftp of site main at :22 listened before and does not now: address already in use"},
		"one is silent":                     {listenedBefore, []Binding{listens, balanced}, ":22", "binding sftp of site main at :22 does not answer"},
		"a balancer's says nothing to us":   {listenedBefore, []Binding{listens, balanced}, ":2022", ""},
		"one is not in the store any more":  {listenedBefore, []Binding{balanced}, "", ""},
		"one did not listen before, either": {`[]`, []Binding{taken}, "", ""},
		"its lists refuse this machine":     {listenedBefore, []Binding{fenced, balanced}, ":22", ""},
		"they refuse it by IPv6 alone":      {listenedBefore, []Binding{half, balanced}, ":22", "binding sftp of site main at :22 does not answer"},
		"they did, and the release is mute": {fencedBefore, []Binding{listens}, ":22", ""},
		"they did, and it does not listen":  {fencedBefore, []Binding{taken}, "", "listened before and does not now"},
		"nothing was written down":          {"", []Binding{taken}, "", ""},
		"what was written down is cut":      {`[{"site":"ma`, []Binding{taken}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			prober := k.Prober.(*fakeProber)
			prober.version, prober.bindings, prober.silent = "7.0.1", c.now, c.silent
			if c.before != "" {
				k.file(machine.ServerData(1)+"/listening.json", c.before)
			}
			err := k.do(&WaitHealth{Services: []string{"ss-server"}, Generation: 1, Version: "7.0.1", From: 1})
			if c.want == "" && err != nil {
				t.Error(err)
			}
			if c.want != "" && (!errors.Is(err, ErrReleaseFailed) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAGreetingIsThatOfSSHAndNoOther(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"SSH-2.0-SSServer\r\n": "", "220 ready\r\n": "does not speak SSH", "SSH": "says nothing", "": "says nothing",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		go func() {
			if c, err := l.Accept(); err == nil {
				_, _ = c.Write([]byte(said))
				_ = c.Close()
			}
		}()
		_, port, err := net.SplitHostPort(l.Addr().String())
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err = NewProber(nil).Greets(ctx, ":"+port)
		cancel()
		must(t, l.Close())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", said, err)
		}
	}
}

func TestAReleaseThatKnowsNoSnapshotsIsUpdatedWithoutOne(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	programs := k.Programs.(*fakePrograms)
	programs.err = errors.New("exit status 2: wrong usage")
	must(t, k.do(&SnapshotStore{Release: oldRelease, Generation: 1}))
	run := programs.runs[0]
	if run.Path != machine.Program(oldRelease, "ss-server") || strings.Join(run.Args[:3], " ") != "snapshot --reason update" || run.User != "" {
		t.Errorf("%+v", run)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&SnapshotStore{Release: oldRelease, Generation: 1}).Do(ctx, k.Machine); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled by the user: %v", err)
	}
}

func TestARepairTellsWhatWasSetAside(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	withCopy(k)
	programs := k.Programs.(*fakePrograms)
	programs.says = `{"restored":{"made":"2026-11-21T03:00:00Z"},"set_aside":"/x.part/store.db.damaged-20261122T080000Z","faults":["user kim: no home"]}`
	must(t, k.do(&RepairStore{Store: server(1, 2), Release: newRelease}))
	for _, want := range []string{"was damaged", machine.ServerData(2) + "/store.db.damaged-20261122T080000Z", "user kim"} {
		if !k.warned(want) {
			t.Errorf("nothing is said of %s: %q", want, k.warnings)
		}
	}
	programs.err = errors.New("no usable snapshot")
	if err := k.do(&RepairStore{Store: server(1, 2), Release: newRelease}); err == nil || errors.Is(err, ErrReleaseFailed) {
		t.Errorf("a store that cannot be repaired: %v", err)
	}
}

func TestAKeyRingThatReadsUsersFilesStays(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	ring := machine.KeyringDir
	k.file(ring+"/master-0001.key", "key")
	k.file(ring+"/vfs-00ff.key", "key")
	must(t, k.do(NewRemoveUnless(ring, "vfs-*.key")))
	if !k.FS.Exists(ring+"/master-0001.key") || !k.warned("vfs-00ff.key") {
		t.Errorf("%q %s", k.warnings, k.snapshot())
	}
	must(t, k.FS.Remove(ring+"/vfs-00ff.key"))
	must(t, k.do(NewRemoveUnless(ring, "vfs-*.key")))
	if k.FS.Exists(ring) {
		t.Error(k.snapshot())
	}
}
