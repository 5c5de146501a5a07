package machine

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/windows/svc"
)

// helperService is the name of a service that this test program is when it is called so.
const helperService = "ss-setup-test-service"

// idle runs until it is stopped; abrupt leaves then without a word to the manager.
type idle struct{ abrupt bool }

func (i idle) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (bool, uint32) {
	status <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop}
	for r := range requests {
		if r.Cmd == svc.Stop {
			break
		}
	}
	if i.abrupt {
		os.Exit(0)
	}
	return false, 0
}

// serve runs the service and tells true where the test program was called as it.
func serve(t *testing.T, s idle) bool {
	t.Helper()
	if !slices.Contains(os.Args, helperService) {
		return false
	}
	if err := svc.Run(helperService, s); err != nil {
		t.Fatal(err)
	}
	return true
}

// register registers the running test as a service.
func register(t *testing.T) {
	t.Helper()
	err := scm{}.Register(t.Context(), Registration{
		Service: helperService, DisplayName: "a test", Account: "LocalSystem", Start: StartByHand,
		Command: CommandLine([]string{os.Args[0], "-test.run", "^" + t.Name() + "$", helperService}),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAServiceWhoseProcessIsGoneBeforeItAnswersIsStopped(t *testing.T) {
	if serve(t, idle{abrupt: true}) {
		return
	}
	ctx := t.Context()
	m := scm{}
	register(t)
	for range 20 {
		if err := m.Start(ctx, helperService); err != nil {
			t.Error(err)
			break
		}
		if err := m.Stop(ctx, helperService); err != nil {
			t.Error(err)
		}
		if s, err := m.State(ctx, helperService); err != nil || s.Active {
			t.Errorf("it runs still: %+v, %v", s, err)
		}
	}
	if err := m.Unregister(ctx, helperService); err != nil {
		t.Error(err)
	}
}

// Windows may start a service at its boot between the moment when a recovery stopped it
// and the one when it is removed; an entry of one that runs never goes.
func TestAServiceThatRunsAgainIsStoppedWhenItIsRemoved(t *testing.T) {
	if serve(t, idle{}) {
		return
	}
	ctx := t.Context()
	m := scm{}
	register(t)
	if err := m.Start(ctx, helperService); err != nil {
		t.Fatal(errors.Join(err, m.Unregister(ctx, helperService)))
	}
	if err := m.Unregister(ctx, helperService); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Registered(helperService); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is there still: %v", err)
	}
}
