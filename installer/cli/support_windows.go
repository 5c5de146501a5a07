package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/windows"

	"ss-setup/installer/machine"
	"ss-setup/installer/step"
)

// distribution has nothing to add: running tells which Windows it is.
func (*collection) distribution() {}

// running adds what only a running machine tells. Programs of the system are called by
// their whole path: the caller's PATH may lead elsewhere first.
func (c *collection) running() {
	if current, err := step.CurrentGeneration(c.files); err == nil && current != 0 {
		c.ownVersions(machine.Release(step.ReleaseOf(c.files, current)))
	}
	c.text("system/windows.txt", func(context.Context) ([]byte, error) {
		v := windows.RtlGetVersion()
		return fmt.Appendf(nil, "Windows %d.%d, build %d, product type %d\n", v.MajorVersion, v.MinorVersion, v.BuildNumber, v.ProductType), nil
	})
	c.command("system/listeners.txt", machine.SystemProgram("netstat"), "-ano", "-p", "TCP")
	for _, service := range []string{machine.ServerService, machine.LicensedService, guardName} {
		c.text("services/"+service+".json", func(ctx context.Context) ([]byte, error) { return entryOf(ctx, service) })
		c.command("services/"+service+".events.txt", machine.SystemProgram("wevtutil"), "qe", "Application",
			"/q:*[System[Provider[@Name='"+service+"']]]", "/c:500", "/rd:true", "/f:text")
	}
}

// entryOf is what the service manager knows of a service.
func entryOf(ctx context.Context, service string) ([]byte, error) {
	var known struct {
		Entry machine.Registration
		State machine.ServiceState
	}
	var err error
	if known.Entry, err = machine.NewRegistrar().Registered(service); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	services, err := machine.NewServices(&machine.FS{})
	if err == nil {
		known.State, err = services.State(ctx, service)
	}
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(known, "", "  ")
}
