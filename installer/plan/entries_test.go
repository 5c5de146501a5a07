package plan

import (
	"context"
	"io/fs"
	"maps"
	"strings"
	"testing"

	"ss-setup/installer/machine"
)

// fakeEntries is a service manager with entries, and a registry.
type fakeEntries struct {
	services map[string]machine.Registration
	keys     map[string]map[string]machine.Value
}

func (e fakeEntries) Registered(name string) (machine.Registration, error) {
	r, ok := e.services[name]
	if !ok {
		return r, fs.ErrNotExist
	}
	return r, nil
}

func (e fakeEntries) Read(key string) (map[string]machine.Value, error) {
	values, ok := e.keys[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return values, nil
}

func (fakeEntries) Register(context.Context, machine.Registration) error { return errChange }
func (fakeEntries) Unregister(context.Context, string) error             { return errChange }
func (fakeEntries) Write(string, map[string]machine.Value) error         { return errChange }
func (fakeEntries) Remove(string, ...string) error                       { return errChange }
func (fakeEntries) RemoveKey(string) error                               { return errChange }
func (fakeEntries) Announce()                                            {}

// withEntries makes a situation one of a machine with entries, all as the receipt says.
func withEntries(w *world, s *Situation) fakeEntries {
	e := fakeEntries{map[string]machine.Registration{}, map[string]map[string]machine.Value{
		machine.Environment: {"PATH": {Type: machine.RegExpandable, Text: `C:\Windows;` + s.bin}},
		productKey:          maps.Clone(registerProduct(s.Receipt.Version).Values),
	}}
	for _, svc := range s.Receipt.Services {
		e.services[svc.Name] = machine.Registration{
			Service: svc.Name, Command: machine.ServiceCommand(svc.Name, s.Receipt.Release, s.Current),
			Account: strings.ToUpper(svc.User), Start: machine.StartAtBoot,
		}
		e.keys[eventSources+svc.Name] = maps.Clone(registerEventSource(svc.Name).Values)
	}
	w.Registrar, w.Registry = e, e
	return e
}

func TestVerifyComparesWhatWindowsKeepsElsewhereThanInFiles(t *testing.T) {
	change := func(e fakeEntries, alter func(r *machine.Registration)) {
		r := e.services["ss-server"]
		alter(&r)
		e.services["ss-server"] = r
	}
	for name, c := range map[string]struct {
		change func(e fakeEntries)
		want   string
	}{
		"nothing": {func(fakeEntries) {}, ""},
		"another program": {func(e fakeEntries) {
			change(e, func(r *machine.Registration) { r.Command = `"C:\evil.exe" run --service --generation 3` })
		}, "command ss-server"},
		"another generation": {func(e fakeEntries) {
			change(e, func(r *machine.Registration) {
				r.Command = strings.Replace(r.Command, "generation 3", "generation 2", 1)
			})
		}, "command ss-server"},
		"started by hand": {func(e fakeEntries) {
			change(e, func(r *machine.Registration) { r.Start = machine.StartByHand })
		}, "enabled ss-server"},
		"disabled by an administrator": {func(e fakeEntries) {
			change(e, func(r *machine.Registration) { r.Start = machine.StartDisabled })
		}, ""},
		"another account": {func(e fakeEntries) {
			change(e, func(r *machine.Registration) { r.Account = "LocalSystem" })
		}, "account ss-server"},
		"no entry": {func(e fakeEntries) { delete(e.services, "ss-licensed") }, "missing ss-licensed"},
		"another version in Apps & Features": {func(e fakeEntries) {
			e.keys[productKey]["DisplayVersion"] = machine.Value{Type: machine.RegText, Text: "6.0"}
		}, `registry ` + productKey + `\DisplayVersion`},
		"a value of another type": {func(e fakeEntries) {
			v := e.keys[eventSources+"ss-server"]["EventMessageFile"]
			v.Type = machine.RegText
			e.keys[eventSources+"ss-server"]["EventMessageFile"] = v
		}, `registry ` + eventSources + `ss-server\EventMessageFile`},
		"no way to remove it":    {func(e fakeEntries) { delete(e.keys[productKey], "UninstallString") }, `missing ` + productKey + `\UninstallString`},
		"not in Apps & Features": {func(e fakeEntries) { delete(e.keys, productKey) }, "missing " + productKey},
		"no event source":        {func(e fakeEntries) { delete(e.keys, eventSources+"ss-licensed") }, "missing " + eventSources + "ss-licensed"},
		"not on the PATH": {func(e fakeEntries) {
			e.keys[machine.Environment]["PATH"] = machine.Value{Type: machine.RegExpandable, Text: `C:\Windows`}
		}, `registry ` + machine.Environment + `\Path`},
		"a value of somebody else's": {func(e fakeEntries) {
			e.keys[productKey]["EstimatedSize"] = machine.Value{Type: machine.RegNumber, Number: 1}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, s := situation(t, "installed", 0)
			c.change(withEntries(w, s))
			found, err := Verify(t.Context(), w.Machine, s)
			must(t, err)
			var got []string
			for _, d := range found {
				got = append(got, d.Kind+" "+d.Path)
				if d.Expected == d.Found {
					t.Errorf("expected and found %q", d.Found)
				}
			}
			if strings.Join(got, ", ") != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// The numbers and names are those that Microsoft documents for the sources of the event log.
func TestTheEventSourceIsRegisteredAsWindowsWantsIt(t *testing.T) {
	const errorType, warningType, informationType = 0x1, 0x2, 0x4
	s := registerEventSource("ss-server")
	if s.Key != `HKLM\SYSTEM\CurrentControlSet\Services\EventLog\Application\ss-server` {
		t.Errorf("the key is %s", s.Key)
	}
	want := map[string]machine.Value{
		"EventMessageFile": {Type: 2, Text: `%SystemRoot%\System32\EventCreate.exe`}, // REG_EXPAND_SZ
		"TypesSupported":   {Type: 4, Number: errorType | warningType | informationType},
		"CustomSource":     {Type: 4, Number: 1}, // REG_DWORD
	}
	if !maps.Equal(s.Values, want) {
		t.Errorf("got %v", s.Values)
	}
}
