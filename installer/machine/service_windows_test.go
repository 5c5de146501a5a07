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

type idle struct{}

func (idle) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (bool, uint32) {
	status <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop}
	for r := range requests {
		if r.Cmd == svc.Stop {
			break
		}
	}
	return false, 0
}

// Windows may start a service at its boot between the moment when a recovery stopped it
// and the one when it is removed; an entry of one that runs never goes.
func TestAServiceThatRunsAgainIsStoppedWhenItIsRemoved(t *testing.T) {
	if slices.Contains(os.Args, helperService) {
		if err := svc.Run(helperService, idle{}); err != nil {
			t.Fatal(err)
		}
		return
	}
	ctx := t.Context()
	m := scm{}
	err := m.Register(ctx, Registration{
		Service: helperService, DisplayName: "a test", Account: "LocalSystem", Start: StartByHand,
		Command: CommandLine([]string{os.Args[0], "-test.run", "^" + t.Name() + "$", helperService}),
	})
	if err != nil {
		t.Fatal(err)
	}
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
