package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ss-setup/installer/machine"
)

// entries stands for what Windows keeps elsewhere than in files: services, keys of
// the registry and access lists. Each lies in a file below the kit's root, so that
// snapshots show them, and each change is one call, which can be cut.
type entries struct{ fs *machine.FS }

func (e entries) path(kind, name string) string {
	return e.fs.Real(filepath.Join("/entries", kind, strings.NewReplacer("/", "_", `\`, "_").Replace(name)))
}

func (e entries) read(kind, name string, v any) error {
	content, err := os.ReadFile(e.path(kind, name))
	if err != nil {
		return err
	}
	return json.Unmarshal(content, v)
}

func (e entries) write(kind, name string, v any) error {
	if err := e.before(kind, name); err != nil {
		return err
	}
	content, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(e.path(kind, name), content, 0o600)
}

func (e entries) remove(kind, name string) error {
	if err := e.before(kind, name); err != nil {
		return err
	}
	if err := os.Remove(e.path(kind, name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (e entries) before(kind, name string) error {
	if e.fs.Before == nil {
		return nil
	}
	return e.fs.Before(machine.OpWrite, kind+" "+name)
}

func (e entries) Registered(service string) (r machine.Registration, err error) {
	return r, e.read("service", service, &r)
}

func (e entries) MayServe(account string) (may bool, err error) {
	err = e.read("right", account, &may)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return may, err
}

func (e entries) AllowToServe(account string) error { return e.write("right", account, true) }

func (e entries) ForbidToServe(account string) error { return e.remove("right", account) }

func (e entries) Register(_ context.Context, r machine.Registration) error {
	now, err := e.Registered(r.Service)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, f := range []struct {
		to   *string
		from string
	}{{&now.Service, r.Service}, {&now.DisplayName, r.DisplayName}, {&now.Description, r.Description}, {&now.Command, r.Command}, {&now.Account, r.Account}} {
		if f.from != "" {
			*f.to = f.from
		}
	}
	if r.Start != "" {
		now.Start = r.Start
	}
	if r.Restarts != nil {
		now.Restarts = r.Restarts
	}
	return e.write("service", r.Service, now)
}

func (e entries) Unregister(_ context.Context, service string) error {
	return e.remove("service", service)
}

func (e entries) Read(key string) (values map[string]machine.Value, err error) {
	return values, e.read("key", key, &values)
}

func (e entries) Write(key string, values map[string]machine.Value) error {
	now, err := e.Read(key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if now == nil {
		now = map[string]machine.Value{}
	}
	for name, v := range values {
		for other := range now {
			if strings.EqualFold(name, other) {
				name = other // names of values are the same in any case
			}
		}
		now[name] = v
	}
	return e.write("key", key, now)
}

func (e entries) Remove(key string, names ...string) error {
	now, err := e.Read(key)
	if err != nil {
		return err
	}
	for _, name := range names {
		delete(now, name)
	}
	return e.write("key", key, now)
}

func (e entries) RemoveKey(key string) error { return e.remove("key", key) }

func (entries) Announce() {}

func (e entries) Access(path string) (list string, err error) {
	err = e.read("list", path, &list)
	if errors.Is(err, fs.ErrNotExist) {
		return "inherited", nil
	}
	return list, err
}

func (e entries) SetAccess(path, list string) error {
	if list == "inherited" {
		return e.remove("list", path)
	}
	return e.write("list", path, list)
}

// withEntries gives the kit a service manager with entries of these services, as
// generation 1 has them.
func withEntries(services ...string) func(k *kit) {
	return func(k *kit) {
		e := entries{k.FS}
		for _, kind := range []string{"service", "key", "list", "right"} {
			k.dir("/entries/"+kind, 0o700)
		}
		k.Registrar, k.Registry, k.Lists, k.LogonRights = e, e, e, e
		for _, name := range services {
			must(k.t, e.write("service", name, machine.Registration{
				Service: name, Account: `DOMAIN\chosen$`, Start: machine.StartByHand, Command: machine.ServiceCommand(name, oldRelease, 1),
				DisplayName: "older", Description: "older", Restarts: &machine.Restarts{ForgetSeconds: 5},
			}))
		}
	}
}

func withKey(pairs ...string) func(k *kit) {
	return func(k *kit) {
		withEntries()(k)
		values := map[string]machine.Value{}
		for i := 0; i < len(pairs); i += 2 {
			values[pairs[i]] = machine.Value{Type: machine.RegExpandable, Text: pairs[i+1]}
		}
		must(k.t, entries{k.FS}.write("key", `HKLM\key`, values))
	}
}

func withList(path, list string) func(k *kit) {
	return func(k *kit) {
		withEntries()(k)
		must(k.t, entries{k.FS}.SetAccess(path, list))
	}
}

func newService() *RegisterService {
	return &RegisterService{
		Service: "ss-server", DisplayName: "SS Server", Description: "files", Account: `NT SERVICE\ss-server`,
		Release: newRelease, Generation: 2, Restarts: &machine.Restarts{AfterMilliseconds: []uint32{1000}},
	}
}

// atRest gives the kit entries of services that do not run.
func atRest(services ...string) func(k *kit) {
	return func(k *kit) {
		withEntries(services...)(k)
		clear(k.services.active)
	}
}

func newValues() *SetRegistry {
	return &SetRegistry{Key: `HKLM\key`, Values: map[string]machine.Value{
		"name": {Type: machine.RegExpandable, Text: "value"}, "number": {Type: machine.RegNumber, Number: 7},
	}}
}

func TestAServiceThatIsThereKeepsItsAccountAndWhatItRuns(t *testing.T) {
	k := newKit(t)
	withEntries("ss-server")(k)
	must(t, k.do(newService()))
	r, err := k.Registrar.Registered("ss-server")
	must(t, err)
	if r.Account != `DOMAIN\chosen$` || r.Command != machine.ServiceCommand("ss-server", oldRelease, 1) {
		t.Errorf("%+v", r)
	}
	if r.Start != machine.StartAtBoot || r.DisplayName != "SS Server" {
		t.Errorf("not mended: %+v", r)
	}
}

func TestAServiceThatMayDoEverythingGetsItsOwnAccountBack(t *testing.T) {
	k := newKit(t)
	withEntries("ss-server")(k)
	must(t, k.Registrar.Register(t.Context(), machine.Registration{Service: "ss-server", Account: "LocalSystem"}))
	s := newService()
	undo := k.prepare(s)
	must(t, k.do(s))
	if r, err := k.Registrar.Registered("ss-server"); err != nil || r.Account != s.Account {
		t.Errorf("it runs as %s, %v", r.Account, err)
	}
	must(t, k.undo(s, undo))
	if r, err := k.Registrar.Registered("ss-server"); err != nil || r.Account != "LocalSystem" {
		t.Errorf("undone it runs as %s, %v", r.Account, err)
	}
}

func TestAReceiptNamesTheAccountsThatAnAdministratorChose(t *testing.T) {
	k := newKit(t)
	withEntries("ss-server", "ss-licensed")(k)
	must(t, k.Registrar.Register(t.Context(), machine.Registration{Service: "ss-licensed", Account: "localsystem"}))
	w := &WriteReceipt{Services: []ServiceEntry{{Name: "ss-server", User: "own"}, {Name: "ss-licensed", User: "own"}, {Name: "other", User: "own"}}}
	services, err := w.services(k.Machine)
	must(t, err)
	if got := fmt.Sprint(services[0].User, " ", services[1].User, " ", services[2].User); got != `DOMAIN\chosen$ own own` {
		t.Errorf("got %s", got)
	}
}

func TestAServiceOfAnotherProductIsNotTaken(t *testing.T) {
	k := bareKit(t)
	withEntries()(k)
	k.KeepOriginals = true
	must(t, k.Registrar.Register(t.Context(), machine.Registration{Service: "ss-server", Command: `"C:\Other\server.exe"`}))
	if _, err := newService().Prepare(t.Context(), k.Machine); err == nil || !strings.Contains(err.Error(), `C:\Other\server.exe`) {
		t.Errorf("got %v", err)
	}
}

// orderOf records the changing calls of a step.
func orderOf(k *kit, do func() error) (order []string) {
	k.FS.Before = func(op machine.Op, path string) error {
		if op == machine.OpRename || strings.HasPrefix(path, "service ") {
			order = append(order, path)
		}
		return nil
	}
	must(k.t, do())
	k.FS.Before = nil
	return order
}

func TestTheSwitchChangesEntriesBeforeTheOneRenameThatTells(t *testing.T) {
	k := newKit(t)
	withGeneration2(k)
	withEntries("ss-server", "ss-licensed")(k)
	s := &SwitchGeneration{From: 1, To: 2}
	undo := k.prepare(s)
	want := fmt.Sprint([]string{"service ss-server", "service ss-licensed", machine.Current})
	if got := fmt.Sprint(orderOf(k, func() error { return k.do(s) })); got != want {
		t.Errorf("there %s, want %s", got, want)
	}
	r, err := k.Registrar.Registered("ss-licensed")
	must(t, err)
	if r.Command != machine.ServiceCommand("ss-licensed", newRelease, 2) {
		t.Errorf("it runs %s", r.Command)
	}
	if got := fmt.Sprint(orderOf(k, func() error { return k.undo(s, undo) })); got != want {
		t.Errorf("back %s, want %s", got, want)
	}
}

func TestGoingBackStopsAServiceThatABootStartedOnTheNewData(t *testing.T) {
	k := newKit(t)
	withGeneration2(k)
	withEntries("ss-server", "ss-licensed")(k)
	s := &SwitchGeneration{From: 1, To: 2}
	undo := k.prepare(s)
	must(t, k.Registrar.Register(t.Context(), machine.Registration{Service: "ss-server", Command: machine.ServiceCommand("ss-server", newRelease, 2)}))
	must(t, k.undo(s, undo))
	if got := fmt.Sprint(k.services.running()); got != "[ss-licensed]" {
		t.Errorf("running: %s", got)
	}
}

func FuzzIndexOfFolder(f *testing.F) {
	f.Add(`C:\windows;"C:\SS Server";`, `c:\ss server\`)
	f.Add(`;;`, ``)
	f.Fuzz(func(t *testing.T, list, folder string) {
		if i := indexOfFolder(list, folder); i >= strings.Count(list, ";")+1 {
			t.Errorf("%d in %q", i, list)
		}
	})
}
