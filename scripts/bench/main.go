//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// options are what the flags say.
type options struct {
	out       string
	bundle    string
	runs      int
	only      string
	machines  string
	events    string
	skipCrash bool
	cases     string
	unpack    string
}

func parseFlags() (options, error) {
	var o options
	flag.StringVar(&o.out, "out", "dist/bench.json", "`file` to write the rows to")
	flag.StringVar(&o.bundle, "bundle", "dist/bundle", "`folder` of the bundle that is installed and unpacked; make build makes it")
	flag.IntVar(&o.runs, "runs", 7, "how often each side is measured, 5 at least")
	flag.StringVar(&o.only, "only", "", "measure only this `kind`: unpack, patch, install, update, sftp, sessions, users, import, decrypt or crash")
	flag.StringVar(&o.machines, "machines", "/var/tmp/lab/bench", "`folder` for the disks of the machines; in /dev/shm they are memory, and a sync costs nothing")
	flag.StringVar(&o.events, "events", "", "`folder` to keep the events of each run of ss-setup in")
	flag.BoolVar(&o.skipCrash, "skip-crash", false, "leave out the rows of the fault sweep, which takes minutes")
	flag.StringVar(&o.cases, "cases", "", "`file` with the output of the other tests with generated crash points; their cases count, too")
	flag.StringVar(&o.unpack, "unpack", "", "only unpack the bundle into this `folder`: what is measured against tar")
	flag.Parse()
	if flag.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if o.runs < 5 {
		return o, fmt.Errorf("-runs %d: the median of fewer than 5 runs says nothing", o.runs)
	}
	if o.only != "" && !slices.ContainsFunc(measurements, func(m measurement) bool { return m.name == o.only }) {
		return o, fmt.Errorf("-only %s: there are unpack, patch, install, update, sftp, sessions, users, import, decrypt and crash", o.only)
	}
	return o, nil
}

func main() {
	o, err := parseFlags()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	do := run
	if o.unpack != "" {
		do = func(o options) error { return unpack(o.bundle, o.unpack) }
	}
	if err := do(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measurement makes the rows of one kind.
type measurement struct {
	name string
	rows func(*bench) []row
}

var measurements = []measurement{
	{"unpack", unpackRows},
	{"patch", patchRows},
	{"install", installRows},
	{"update", updateRows},
	{"sftp", sftpRows},
	{"sessions", sessionRows},
	{"users", userRows},
	{"decrypt", decryptRows},
	{"import", importRows},
	{"crash", crashRows},
}

// run makes every measurement, writes what there is, and returns what failed.
func run(o options) error {
	if os.Geteuid() != 0 {
		return errors.New("it boots machines and needs root; run: make bench")
	}
	if err := os.MkdirAll(filepath.Dir(o.out), 0o755); err != nil {
		return err
	}
	if err := errors.Join(os.Setenv("LAB_MACHINES", o.machines), removeOrphans(o.machines)); err != nil {
		return err
	}
	if inOwnNetwork() {
		if err := openNetwork(); err != nil {
			return fmt.Errorf("set up a network for measuring: %w", err)
		}
	}
	var rows []row
	var failed error
	for _, m := range measurements {
		if !o.wants(m.name) {
			continue
		}
		b := &bench{options: o, name: m.name}
		err := b.try(func() { rows = append(rows, m.rows(b)...) })
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s could not be measured: %w", m.name, err))
		}
	}
	if inOwnNetwork() {
		return errors.Join(failed, handOver(rows))
	}
	printTable(os.Stdout, rows)
	return errors.Join(failed, writeRows(o.out, rows))
}

// wants tells whether a measurement was asked for.
func (o options) wants(name string) bool {
	if o.only != "" {
		return o.only == name
	}
	return name != "crash" || !o.skipCrash
}
