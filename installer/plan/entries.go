package plan

import (
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"ss-setup/installer/machine"
	"ss-setup/installer/receipt"
	"ss-setup/installer/step"
)

// Where Windows keeps what other systems have as files.
const (
	// eventSources holds a key for each program that writes into the event log.
	eventSources = `HKLM\SYSTEM\CurrentControlSet\Services\EventLog\Application\`
	// productKey is the product's entry in Apps & Features, where SCCM and winget look too.
	productKey = `HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\SS Server`
)

// registerEventSource tells the event log who writes into it and where the texts of
// the events are.
func registerEventSource(service string) *step.SetRegistry {
	return &step.SetRegistry{Key: eventSources + service, Values: map[string]machine.Value{
		"EventMessageFile": {Type: machine.RegExpandable, Text: `%SystemRoot%\System32\EventCreate.exe`},
		"TypesSupported":   {Type: machine.RegNumber, Number: 7}, // errors, warnings and information
		"CustomSource":     {Type: machine.RegNumber, Number: 1},
	}}
}

// registerProduct tells Windows which version is installed and how it is removed.
func registerProduct(version string) *step.SetRegistry {
	setup := filepath.Join(machine.ProgramDir, machine.SetupName)
	text := func(s string) machine.Value { return machine.Value{Type: machine.RegText, Text: s} }
	return &step.SetRegistry{Key: productKey, Values: map[string]machine.Value{
		"DisplayName":          text("SS Server"),
		"DisplayVersion":       text(version),
		"Publisher":            text("SS Server"),
		"InstallLocation":      text(machine.ProgramDir),
		"DisplayIcon":          text(setup),
		"UninstallString":      text(`"` + setup + `" uninstall`),
		"QuietUninstallString": text(`"` + setup + `" uninstall --silent`),
		"NoModify":             {Type: machine.RegNumber, Number: 1},
		"NoRepair":             {Type: machine.RegNumber, Number: 1},
	}}
}

// compareEntries compares what is kept elsewhere than in files with the receipt:
// entries of services, values in the registry and the PATH. There is nothing to
// compare where the machine has files alone.
func compareEntries(m *step.Machine, s *Situation) ([]Deviation, error) {
	if m.Registrar == nil {
		return nil, nil
	}
	var out []Deviation
	settings := []*step.SetRegistry{registerProduct(s.Receipt.Version)}
	for _, want := range s.Receipt.Services {
		found, err := compareService(m.Registrar, want, machine.ServiceCommand(want.Name, s.Receipt.Release, s.Current))
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
		settings = append(settings, registerEventSource(want.Name))
	}
	for _, want := range settings {
		found, err := compareValues(m.Registry, want)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	on, err := step.OnPath(m, machine.Environment, s.bin)
	if err != nil {
		return nil, err
	}
	if !on {
		out = append(out, Deviation{Path: machine.Environment + `\Path`, Kind: KindRegistry, Expected: s.bin + " in it", Found: "not in it"})
	}
	return out, nil
}

// compareService compares the entry of a service. That an administrator disabled it
// is no deviation.
func compareService(r machine.Registrar, want receipt.Service, command string) ([]Deviation, error) {
	got, err := r.Registered(want.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return []Deviation{{Path: want.Name, Kind: "missing", Expected: "service"}}, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Deviation
	if got.Command != command {
		out = append(out, Deviation{Path: want.Name, Kind: KindCommand, Expected: command, Found: got.Command})
	}
	if want.Enabled && got.Start == machine.StartByHand {
		out = append(out, Deviation{Path: want.Name, Kind: "enabled", Expected: string(machine.StartAtBoot), Found: string(got.Start)})
	}
	if want.User != "" && !strings.EqualFold(got.Account, want.User) {
		out = append(out, Deviation{Path: want.Name, Kind: KindAccount, Expected: want.User, Found: got.Account})
	}
	return out, nil
}

// compareValues compares those values of a key that an installation sets.
func compareValues(r machine.Registry, want *step.SetRegistry) ([]Deviation, error) {
	got, err := r.Read(want.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return []Deviation{{Path: want.Key, Kind: "missing", Expected: "registry key"}}, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Deviation
	for _, name := range slices.Sorted(maps.Keys(want.Values)) {
		d := Deviation{Path: want.Key + `\` + name, Kind: KindRegistry, Expected: want.Values[name].String()}
		switch now, there := got[name]; {
		case !there:
			d.Kind = "missing"
		case now == want.Values[name]:
			continue
		default:
			d.Found = now.String()
		}
		out = append(out, d)
	}
	return out, nil
}
