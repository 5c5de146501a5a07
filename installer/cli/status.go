package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"ss-setup/installer/machine"
	"ss-setup/installer/plan"
	"ss-setup/installer/receipt"
	"ss-setup/installer/step"
	"ss-setup/installer/txn"
	"ss-setup/runtime/config"
	"ss-setup/runtime/service"
)

// statusSchema is the version of what status --json prints.
const statusSchema = 1

// Status is what status --json prints: docs/status.schema.json.
type Status struct {
	Schema     int    `json:"schema"`
	Installed  bool   `json:"installed"`
	Version    string `json:"version,omitempty"`
	Release    string `json:"release,omitempty"`
	Generation int    `json:"generation,omitempty"`
	// ManagedBy is the package manager whose package installed it: dpkg or rpm.
	ManagedBy string `json:"managed_by,omitempty"`
	// Damaged says what of the generation in force is gone, Cure which commands put
	// it back, one after the other.
	Damaged  string                          `json:"damaged,omitempty"`
	Cure     []string                        `json:"cure,omitempty"`
	Services map[string]machine.ServiceState `json:"services"`
	// WebURL and LicensePort are where the services listen, by their configuration.
	WebURL      string `json:"web_url,omitempty"`
	LicensePort int    `json:"license_port,omitempty"`
	// Bindings are where the running server serves users by SFTP, or should;
	// BindingsUnknown is why it did not tell.
	Bindings        []step.Binding `json:"bindings,omitempty"`
	BindingsUnknown string         `json:"bindings_unknown,omitempty"`
	// Down are the services that do not run and that nobody masked.
	Down        []DownService         `json:"down"`
	Generations []plan.GenerationInfo `json:"generations"`
	KeptData    int                   `json:"kept_generation,omitempty"`
	// Moved tells that another machine took the place of this one.
	Moved *MovedOut `json:"moved,omitempty"`
	// Running is the process that changes the machine right now.
	Running        string                  `json:"running,omitempty"`
	Interrupted    *txn.Status             `json:"interrupted,omitempty"`
	FailedReleases []receipt.FailedRelease `json:"failed_releases"`
	OldVersions    []plan.OldVersion       `json:"old_versions"`
	// Development: this ss-setup trusts a developer's keys.
	Development bool `json:"development,omitempty"`
	// Update is what the last check-update found.
	Update *Update `json:"update,omitempty"`
}

// MovedOut is when this machine gave its place to another.
type MovedOut struct {
	At time.Time `json:"at"`
	// Folder is where what moves was put, Cancel the command that takes the place back.
	Folder string `json:"folder"`
	Cancel string `json:"cancel_command"`
}

// DownService is a service that does not run, with what to do about it.
type DownService struct {
	Service string `json:"service"`
	// State is failed, stopped or unregistered.
	State string `json:"state"`
	// Log is the command that shows why; empty where nothing tells.
	Log string `json:"log_command,omitempty"`
	// Missing is a file of the release that is gone, so that nothing could be started.
	Missing string `json:"missing,omitempty"`
	// Start is the command that starts it, after putting back what is missing.
	Start string `json:"start_command"`
}

func statusOf(sit *plan.Situation) Status {
	st := Status{
		Schema: statusSchema, Installed: sit.Installed(), Version: sit.Version, Release: sit.Release, Generation: sit.Current, Damaged: sit.Damaged,
		Services: sit.Services, Generations: sit.Generations, KeptData: sit.State.KeptData, Interrupted: sit.Interrupted,
		FailedReleases: sit.State.FailedReleases, OldVersions: sit.OldVersions,
	}
	if sit.Receipt != nil {
		st.ManagedBy = sit.Receipt.ManagedBy
	}
	if st.Generations == nil {
		st.Generations = []plan.GenerationInfo{}
	}
	if st.FailedReleases == nil {
		st.FailedReleases = []receipt.FailedRelease{}
	}
	if st.OldVersions == nil {
		st.OldVersions = []plan.OldVersion{}
	}
	return st
}

// status is the verb status.
func (s *session) status(ctx context.Context) (Exit, error) {
	sit, err := s.look(ctx)
	if err != nil {
		return Done, err
	}
	st := statusOf(sit)
	st.Running = s.holder()
	if moved := sit.State.Moved; moved != nil {
		st.Moved = &MovedOut{At: moved.At, Folder: moved.Folder, Cancel: s.names.command(moveOutVerb, "--cancel")}
	}
	s.tellDamage(&st, sit)
	st.Down = s.down(st, sit.Missing)
	st.WebURL, st.LicensePort = s.listens(st)
	s.askBindings(ctx, &st)
	if anchor, err := embedded(); err == nil {
		st.Development = anchor.Development()
	}
	st.Update = s.lastUpdate(sit)
	exit := Done
	if !st.Installed {
		exit = NothingInstalled
	}
	if s.jsonAnswer {
		return exit, writeJSON(s.streams.Out, st)
	}
	var text strings.Builder
	printStatus(&text, st, sit, time.Now())
	_, err = io.WriteString(s.streams.Out, s.names.text(text.String()))
	return exit, err
}

// tellDamage adds what puts a damaged generation back. One whose link is gone is
// installed as ever: its services may even run.
func (s *session) tellDamage(st *Status, sit *plan.Situation) {
	repair := s.names.command("install", "--repair")
	if sit.Lost == 0 {
		if st.Damaged != "" {
			st.Cure = []string{repair}
		}
		return
	}
	damage, cure := sit.LostLink()
	st.Installed, st.Generation, st.Damaged, st.Cure = true, sit.Lost, damage, []string{cure, repair}
	for _, g := range sit.Generations {
		if g.Number == sit.Lost {
			st.Version, st.Release = g.Version, g.Release
		}
	}
}

// listens tells where the services listen.
func (s *session) listens(st Status) (url string, licensePort int) {
	if !st.Installed {
		return "", 0
	}
	_, licensePort = s.ports()
	c, _, _, err := config.LoadServer(s.m.FS.Real(machine.ConfigDir + "/server.toml"))
	if err != nil {
		return "", licensePort
	}
	host, port, err := net.SplitHostPort(c.Web.Listen)
	if err != nil {
		return "", licensePort
	}
	return urls(host, port, "/")[0], licensePort
}

// bindingsPatience is how long the server may take to tell where it serves users.
const bindingsPatience = 3 * time.Second

// askBindings asks the running server where it serves users.
func (s *session) askBindings(ctx context.Context, st *Status) {
	if !st.Installed || s.options.Offline || !st.Services[machine.ServerService].Active {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, bindingsPatience)
	defer cancel()
	h, err := s.m.Prober.Probe(ctx, machine.ServerService, st.Generation)
	if err != nil {
		st.BindingsUnknown = err.Error()
	}
	st.Bindings = h.Bindings
}

// down lists the services that do not run though they might. In an image none runs,
// while a run is open they may be down for its sake, and on a machine that has moved out
// none is to run.
func (s *session) down(st Status, missing []string) []DownService {
	out := []DownService{}
	if !st.Installed || s.options.Offline || st.Running != "" || st.Interrupted != nil || st.Moved != nil {
		return out
	}
	manager := s.m.Services.Name()
	for _, name := range slices.Sorted(maps.Keys(st.Services)) {
		d := DownService{Service: name, State: "stopped", Start: service.StartCommand(manager, name)}
		switch state := st.Services[name]; {
		case state.Active || state.Masked:
			continue
		case !state.Installed:
			d.State, d.Start = "unregistered", s.names.command("install", "--repair")
		case state.Failed:
			d.State, d.Log = "failed", service.LogCommand(manager, name)
		}
		if len(missing) > 0 {
			d.Missing, d.Start = missing[0], s.names.command("install", "--repair")
		}
		out = append(out, d)
	}
	return out
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func printStatus(w io.Writer, st Status, sit *plan.Situation, now time.Time) {
	if st.Installed {
		fmt.Fprintf(w, "SS Server %s, generation %d, release %s\n", st.Version, st.Generation, st.Release)
	} else {
		fmt.Fprintln(w, "SS Server is not installed")
	}
	if st.ManagedBy != "" {
		fmt.Fprintf(w, "It is managed by %s: update it as a package.\n", st.ManagedBy)
	}
	if st.Damaged != "" {
		fmt.Fprintf(w, "It is damaged: %s; to put it back, run: %s\n", st.Damaged, strings.Join(st.Cure, " && "))
	}
	if st.Development {
		fmt.Fprintln(w, "Development build: this ss-setup trusts a developer's keys, not a vendor's.")
	}
	if st.Moved != nil {
		fmt.Fprintf(w, "It moved out on %s into %s and does not serve; to serve here again, run: %s\n", st.Moved.At.Local().Format(time.DateTime), st.Moved.Folder, st.Moved.Cancel)
	}
	printLastUpdate(w, st.Update, sit, now)
	printOpen(w, st.Running, st.Interrupted)
	if st.KeptData != 0 && !st.Installed {
		fmt.Fprintf(w, "The data of generation %d are kept; ss-setup install takes them over, ss-setup uninstall --purge removes them.\n", st.KeptData)
	}
	if st.Installed {
		printServices(w, st.Services)
		if st.WebURL != "" {
			fmt.Fprintf(w, "\nWeb UI at %s, license daemon at port %d\n", st.WebURL, st.LicensePort)
		}
		printBindings(w, st)
		printDown(w, st.Down)
	}
	printGenerations(w, st.Generations, now)
	for _, f := range st.FailedReleases {
		fmt.Fprintf(w, "\nRelease %s failed on %s: %s\n", f.Release, f.At.Local().Format(time.DateTime), f.Reason)
		fmt.Fprintln(w, "To try it again, which forgets this when it succeeds, run: ss-setup install --update --yes")
	}
	for _, old := range st.OldVersions {
		fmt.Fprintf(w, "\n%s\n", oldVersion(old))
	}
}

// oldVersion says where an older product lies and whether it is in use.
func oldVersion(old plan.OldVersion) string {
	text := fmt.Sprintf("Version %d", old.Major)
	if old.Where != "" {
		text += " lies in " + old.Where
	}
	names := strings.Join(old.Names(), ", ")
	switch {
	case names == "":
		return text
	case old.Runs():
		return text + "; it runs: " + names
	case old.InUse():
		return text + "; it starts with the machine: " + names
	}
	return text + "; it is stopped and disabled: " + names
}

// printOpen tells of a run that is under way, or was left open, and what ends it.
func printOpen(w io.Writer, running string, in *txn.Status) {
	switch {
	case running != "":
		fmt.Fprintf(w, "A run is under way (%s).\n", running)
	case in == nil:
	case in.Abandoned:
		fmt.Fprintf(w, "A run (%s) was left unfinished at step %d of %d by --norollback; go on with: ss-setup recover, or back with: ss-setup rollback\n", in.Verb, in.Step, in.Steps)
	default:
		fmt.Fprintf(w, "A run (%s) was interrupted at step %d of %d; finish or undo it with: ss-setup recover\n", in.Verb, in.Step, in.Steps)
	}
}

func printServices(w io.Writer, services map[string]machine.ServiceState) {
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	fmt.Fprintln(table, "SERVICE\tSTATE\tAT BOOT")
	for _, name := range slices.Sorted(maps.Keys(services)) {
		fmt.Fprintf(table, "%s\t%s\t%s\n", name, stateWord(services[name]), bootWord(services[name]))
	}
	_ = table.Flush()
}

func printBindings(w io.Writer, st Status) {
	if st.BindingsUnknown != "" {
		fmt.Fprintf(w, "\nss-server does not tell where users reach it: %s\n", st.BindingsUnknown)
	}
	if len(st.Bindings) == 0 {
		return
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	fmt.Fprintln(table, "SFTP SITE\tBINDING\tADDRESS\tSTATE")
	for _, b := range st.Bindings {
		state := "listens"
		if !b.Listening {
			state = "does not listen"
			if b.Problem != "" {
				state += ": " + b.Problem
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", b.Site, b.Name, b.Address, state)
	}
	_ = table.Flush()
}

func printDown(w io.Writer, down []DownService) {
	for _, d := range down {
		if d.State == "unregistered" {
			fmt.Fprintf(w, "\nThe definition of %s is gone; to put it back, run: %s\n", d.Service, d.Start)
			continue
		}
		fmt.Fprintln(w)
		if d.Log != "" {
			fmt.Fprintf(w, "To see why %s failed, run: %s\n", d.Service, d.Log)
		}
		if d.Missing != "" {
			fmt.Fprintf(w, "%s is missing; to put it back and start %s, run: %s\n", d.Missing, d.Service, d.Start)
			continue
		}
		fmt.Fprintf(w, "To start %s, run: %s\n", d.Service, d.Start)
	}
}

func stateWord(s machine.ServiceState) string {
	switch {
	case !s.Installed:
		return "not registered"
	case s.Active && s.PID != 0:
		return fmt.Sprintf("running (process %d)", s.PID)
	case s.Active:
		return "running"
	case s.Failed:
		return "failed"
	}
	return "stopped"
}

func bootWord(s machine.ServiceState) string {
	switch {
	case s.Masked:
		return "masked"
	case s.Enabled:
		return "starts"
	}
	return "does not start"
}

func printGenerations(w io.Writer, all []plan.GenerationInfo, now time.Time) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	fmt.Fprintln(table, "GENERATION\tVERSION\tAGE\tDATA\tSTATE")
	for _, g := range slices.Backward(all) {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\n", g.Number, dash(g.Version), age(g.Created, now), size(g.Size), generationWord(g))
	}
	_ = table.Flush()
}

func generationWord(g plan.GenerationInfo) string {
	switch {
	case g.Current && !g.Open:
		return "in use, closed to users"
	case g.Current:
		return "in use"
	case g.DataOnly:
		return "data only"
	case g.EndedBy != "":
		return "ended by " + g.EndedBy
	}
	return "set aside"
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// age is a time span in the largest unit that says something.
func age(since, now time.Time) string {
	if since.IsZero() {
		return "-"
	}
	const day = 24 * time.Hour
	d := now.Sub(since)
	switch {
	case d < time.Minute:
		return "now"
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 2*day:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d/day))
}
