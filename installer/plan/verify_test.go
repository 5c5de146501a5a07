package plan

import (
	"errors"
	"os"
	"strings"
	"testing"

	"ss-setup/installer/machine"
	"ss-setup/installer/receipt"
)

const definition = "/etc/systemd/system/ss-server.service"

func TestVerifyTellsEveryKindOfDeviation(t *testing.T) {
	enable := "/etc/systemd/system/multi-user.target.wants/ss-server.service"
	for name, c := range map[string]struct {
		change func(w *world, s *Situation)
		want   string
	}{
		"nothing":          {func(*world, *Situation) {}, ""},
		"missing":          {func(w *world, _ *Situation) { must(w.t, os.Remove(w.FS.Real(definition))) }, "missing " + definition},
		"content":          {func(w *world, _ *Situation) { w.file(definition, "edited") }, "content " + definition},
		"mode":             {func(w *world, _ *Situation) { must(w.t, os.Chmod(w.FS.Real(definition), 0o600)) }, "mode " + definition},
		"mode of a folder": {func(w *world, _ *Situation) { must(w.t, os.Chmod(w.FS.Real(machine.ConfigDir), 0o700)) }, "mode " + machine.ConfigDir},
		"owner":            {func(_ *world, s *Situation) { entry(s, definition).Owner = "bob" }, "owner " + definition},
		"group":            {func(_ *world, s *Situation) { entry(s, definition).Group = "bob" }, "owner " + definition},
		"link":             {func(w *world, _ *Situation) { w.link(enable, "/dev/null") }, "link " + enable},
		"type":             {func(w *world, _ *Situation) { w.link(definition, "/dev/null") }, "type " + definition},
		"content and mode": {func(w *world, _ *Situation) {
			w.file(definition, "edited")
			must(w.t, os.Chmod(w.FS.Real(definition), 0o600))
		}, "content " + definition + ", mode " + definition},
		"program": {func(w *world, s *Situation) {
			must(w.t, os.Remove(w.FS.Real(machine.Release(s.Release)+"/bin/ss-server")))
		}, "missing " + machine.Release(bundleOf(t, "7.0.1", "second").Release()) + "/bin/ss-server"},
		"generation in force": {
			func(w *world, _ *Situation) { must(w.t, os.RemoveAll(w.FS.Real(machine.Generation(3)))) },
			"missing /opt/ss-server/generations/3, missing /opt/ss-server/generations/3/release, " +
				"missing /opt/ss-server/generations/3/data, missing /opt/ss-server/generations/3/licensed",
		},
		"link to the release":  {func(w *world, _ *Situation) { w.link(machine.Generation(3)+"/release", "../../releases/other") }, "link " + machine.Generation(3) + "/release"},
		"link to the data":     {func(w *world, _ *Situation) { must(w.t, os.Remove(w.FS.Real(machine.Generation(3)+"/data"))) }, "missing " + machine.Generation(3) + "/data"},
		"link to the licenses": {func(w *world, _ *Situation) { w.link(machine.Generation(3)+"/licensed", machine.LicensedData(2)) }, "link " + machine.Generation(3) + "/licensed"},
		"current":              {func(w *world, _ *Situation) { w.link(machine.Current, "elsewhere/3") }, "link " + machine.Current},
		"configuration":        {func(w *world, _ *Situation) { w.file(serverConfig, "port = 2\n") }, ""},
		"configuration mode":   {func(w *world, _ *Situation) { must(w.t, os.Chmod(w.FS.Real(serverConfig), 0o600)) }, "mode " + serverConfig},
		"enabled": {func(_ *world, s *Situation) {
			s.Services[machine.ServerService] = machine.ServiceState{Installed: true, Active: true}
		}, "enabled ss-server"},
		"failed": {func(_ *world, s *Situation) {
			s.Services[machine.ServerService] = machine.ServiceState{Installed: true, Enabled: true, Failed: true}
		}, "running ss-server"},
		"stopped": {func(_ *world, s *Situation) {
			s.Services[machine.ServerService] = machine.ServiceState{Installed: true, Enabled: true}
		}, ""},
		"masked": {func(_ *world, s *Situation) {
			s.Services[machine.ServerService] = machine.ServiceState{Installed: true, Masked: true}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, s := situation(t, "installed", 0)
			c.change(w, s)
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

func entry(s *Situation, path string) *receipt.Entry {
	for i := range s.Receipt.Files {
		if s.Receipt.Files[i].Path == path {
			return &s.Receipt.Files[i]
		}
	}
	return nil
}

func TestVerifyTellsOfAFolderThatBecameAFile(t *testing.T) {
	w, s := situation(t, "installed", 0)
	bin := w.FS.Real(machine.Release(s.Release)) + "/bin"
	must(t, os.RemoveAll(bin))
	must(t, os.WriteFile(bin, nil, 0o600))
	found, err := Verify(t.Context(), w.Machine, s)
	if err != nil || len(found) == 0 || found[0].Kind != "missing" {
		t.Errorf("%v, %v", found, err)
	}
}

func TestNothingCanBeVerifiedWithoutAReceipt(t *testing.T) {
	w, s := situation(t, "nothing", 0)
	if _, err := Verify(t.Context(), w.Machine, s); !errors.Is(err, ErrNothingInstalled) {
		t.Error(err)
	}
	w, _ = situation(t, "installed", 0)
	must(t, w.FS.Remove(machine.Receipt(3)))
	if _, err := Verify(t.Context(), w.Machine, w.look()); err == nil || !strings.Contains(err.Error(), "ss-setup install --repair") {
		t.Error(err)
	}
}
