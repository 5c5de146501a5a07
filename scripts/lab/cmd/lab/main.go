//go:build linux

// Command lab drives the machines of package lab by hand.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"ss-setup/scripts/lab"
)

const usage = `usage: lab VERB ...          as root; machines stay until they are removed
  prepare ROOT...             build roots: bookworm, trixie, bookworm-sysv, bookworm-openrc, bookworm-shells, trixie-wine
  boot [FLAGS] NAME           make a machine; lab boot -h lists the flags
  start NAME                  boot it again from its disks (after stop, kill9, crash)
  stop NAME                   power it off
  kill9 [-order disk,opt|opt,disk] [-gap 3ms] NAME
                              power cut: what was not synced is lost
  crash NAME                  kill all its processes; what they wrote stays
  save NAME DIR               copy the disks of a machine that is off, for boot -from DIR
  rm NAME... | down           remove machines | all but those of running tests
  list                        all machines and whether they run
  exec NAME COMMAND...        run as root inside; the exit code passes through
  cp NAME SOURCE PATH         copy a file or folder of the host to PATH inside, synced
  get NAME FILE               print a file from inside
  log NAME                    console log and journal
  fill NAME disk|opt BYTES    leave BYTES free | unfill NAME disk|opt
  eio NAME disk|opt           that disk fails until the next start
  net cut|heal|clear NAME     pull the cable, plug it in, undo drop, loss and rate
  net drop|undrop NAME OTHER  lose packets from NAME to OTHER
  net loss NAME PERCENT       packets to NAME     net rate NAME 256kbit
`

// hand stands for the test that package lab works for: a person.
type hand struct{}

func (hand) Helper()                         {}
func (hand) Name() string                    { return "by hand" }
func (hand) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (hand) Failed() bool                    { return false }
func (hand) Cleanup(func())                  {}

func (h hand) Fatalf(format string, args ...any) { h.Logf(format, args...); os.Exit(1) }
func (h hand) Skipf(format string, args ...any)  { h.Fatalf(format, args...) }

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "lab: %v\n%s", err, usage)
		code = 2
	}
	os.Exit(code)
}

// verbs with the number of arguments that each needs at least.
var verbs = map[string]struct {
	args int
	run  func(args []string) error
}{
	"prepare": {1, func(args []string) error { lab.Prepare(hand{}, args...); return nil }},
	"boot":    {1, boot},
	"start":   {1, func(args []string) error { machine(args).Start(); return nil }},
	"stop":    {1, func(args []string) error { machine(args).Stop(); return nil }},
	"kill9":   {1, kill9},
	"crash":   {1, func(args []string) error { machine(args).Crash(); return nil }},
	"save":    {2, func(args []string) error { machine(args).Save(args[1]); return nil }},
	"rm":      {1, remove},
	"down":    {0, down},
	"list":    {0, list},
	"cp":      {3, func(args []string) error { machine(args).Copy(args[1], args[2]); return nil }},
	"get":     {2, get},
	"log":     {1, func(args []string) error { fmt.Print(machine(args).Logs()); return nil }},
	"fill":    {3, fill},
	"unfill":  {2, func(args []string) error { machine(args).Unfill(lab.Disk(args[1])); return nil }},
	"eio":     {2, func(args []string) error { machine(args).EIO(lab.Disk(args[1])); return nil }},
	"net":     {2, network},
}

func run(args []string) (int, error) {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" {
		fmt.Print(usage)
		return 0, nil
	}
	name, args := args[0], args[1:]
	if name == "exec" && len(args) >= 2 {
		return exec(machine(args), args[1:])
	}
	verb, ok := verbs[name]
	if !ok || len(args) < verb.args {
		return 0, fmt.Errorf("no verb %q, or not enough for it", name)
	}
	return 0, verb.run(args)
}

func machine(args []string) *lab.Machine { return lab.Attach(hand{}, args[0]) }

func boot(args []string) error {
	o := lab.Options{Keep: true}
	f := flag.NewFlagSet("boot", flag.ExitOnError)
	f.StringVar(&o.Root, "root", "bookworm", "root to boot, or a folder with a /")
	f.StringVar(&o.FS, "fs", "ext4", "file system of its disks: ext4 or xfs")
	f.StringVar(&o.Disk, "disk", "512M", "size of its disk")
	f.StringVar(&o.OptDisk, "optdisk", "", "size of a second disk, on /opt")
	f.StringVar(&o.From, "from", "", "start with the disks that save copied there")
	f.StringVar(&o.IP, "ip", "", "address 10.77.0.N on the network of all machines")
	f.BoolVar(&o.Unified, "unified", false, "cgroup v2 inside")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() != 1 {
		return errors.New("boot needs one name, after its flags")
	}
	o.Name = f.Arg(0)
	start := time.Now()
	lab.Boot(hand{}, o)
	fmt.Printf("%s is up after %.1f s\n", o.Name, time.Since(start).Seconds())
	return nil
}

func kill9(args []string) error {
	f := flag.NewFlagSet("kill9", flag.ExitOnError)
	order := f.String("order", "disk,opt", "which disk stops first")
	gap := f.Duration("gap", 0, "time between the disks")
	if err := f.Parse(args); err != nil {
		return err
	}
	orders := map[string]lab.Order{"disk,opt": lab.SystemFirst, "opt,disk": lab.OptFirst}
	if orders[*order] == nil || f.NArg() != 1 {
		return errors.New("kill9 needs one name, after its flags; orders are disk,opt and opt,disk")
	}
	machine(f.Args()).Kill9(orders[*order], *gap)
	return nil
}

func remove(names []string) error {
	for _, name := range names {
		lab.Attach(hand{}, name).Remove()
	}
	return nil
}

func down([]string) error {
	for _, name := range lab.All() {
		if m := lab.Attach(hand{}, name); !m.InTest() {
			m.Remove()
		}
	}
	return nil
}

func list([]string) error {
	for _, name := range lab.All() {
		m, state := lab.Attach(hand{}, name), "off"
		if m.Running() {
			state = "running"
		}
		if m.InTest() {
			state += ", of a test"
		}
		fmt.Println(name, state)
	}
	return nil
}

func get(args []string) error {
	text, err := machine(args).ReadFile(args[1])
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(text)
	return err
}

func exec(m *lab.Machine, args []string) (int, error) {
	p := m.SpawnCommand(lab.Command{Args: args, Stdin: io.Reader(os.Stdin), Stdout: os.Stdout, Stderr: os.Stderr})
	_, _, code := p.Wait()
	return code, nil
}

func fill(args []string) error {
	free, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		return err
	}
	machine(args).Fill(lab.Disk(args[1]), free)
	return nil
}

func network(args []string) error {
	m := machine(args[1:])
	switch what := args[0]; {
	case what == "cut":
		m.Cut()
	case what == "heal":
		m.Heal()
	case what == "clear":
		m.ClearNetwork()
	case len(args) < 3:
		return fmt.Errorf("net %s needs more", what)
	case what == "drop":
		m.DropTo(machine(args[2:]))
	case what == "undrop":
		m.UndropTo(machine(args[2:]))
	case what == "rate":
		m.Rate(args[2])
	case what == "loss":
		percent, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		m.Loss(percent)
	default:
		return fmt.Errorf("no net %s", what)
	}
	return nil
}
