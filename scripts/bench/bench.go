//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ss-setup/scripts/lab"
)

// bench is one measurement under way. It is what the lab and the fixtures take for
// a test: Fatalf ends the measurement, Cleanup is what is done after it.
type bench struct {
	options
	name    string
	made    int
	cleanup []func()
	failed  bool
}

// failure is what Fatalf panics with.
type failure struct{ error }

// try runs a measurement and cleans up after it.
func (b *bench) try(do func()) (err error) {
	defer b.clean()
	defer func() {
		switch v := recover().(type) {
		case nil:
		case failure:
			b.failed = true
			err = v.error
		default:
			panic(v)
		}
	}()
	do()
	return nil
}

func (b *bench) clean() {
	todo := b.cleanup
	b.cleanup = nil
	for _, do := range slices.Backward(todo) {
		do()
	}
}

// turn is a part of the measurement with a clean-up of its own, so that the machine
// of one run is gone when the next begins.
func (b *bench) turn(do func(*bench)) {
	t := &bench{options: b.options, name: b.name, made: b.made}
	err := t.try(func() { do(t) })
	b.made = t.made
	b.must(err)
}

// must ends the measurement with an error.
func (b *bench) must(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// Helper implements lab.T.
func (b *bench) Helper() {}

// Name implements lab.T.
func (b *bench) Name() string { return "bench " + b.name }

// Logf implements lab.T.
func (b *bench) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// Fatalf implements lab.T.
func (b *bench) Fatalf(format string, args ...any) { b.must(fmt.Errorf(format, args...)) }

// Skipf implements lab.T: what cannot be measured must not look measured.
func (b *bench) Skipf(format string, args ...any) { b.Fatalf(format, args...) }

// Failed implements lab.T.
func (b *bench) Failed() bool { return b.failed }

// Cleanup implements lab.T.
func (b *bench) Cleanup(do func()) { b.cleanup = append(b.cleanup, do) }

// boot makes a machine of the kind that all measurements use.
func (b *bench) boot(o lab.Options) *lab.Machine {
	b.made++
	o.Name = fmt.Sprintf("be%s-%d", strconv.FormatInt(int64(os.Getpid()), 36), b.made)
	o.Root, o.Disk = "bookworm", "3G"
	return lab.Boot(b, o)
}

// tempDir is a folder that goes with the measurement, on the disk of the machines.
func (b *bench) tempDir() string {
	b.must(os.MkdirAll(b.machines, 0o755))
	dir, err := os.MkdirTemp(b.machines, fmt.Sprintf("%s%d-", tempPrefix, os.Getpid()))
	b.must(err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

const tempPrefix = "files-"

// removeOrphans removes the folders of runs that were killed; the lab does so with
// their machines.
func removeOrphans(machines string) error {
	dirs, err := filepath.Glob(filepath.Join(machines, tempPrefix+"*"))
	for _, dir := range dirs {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), tempPrefix), "-")
		if _, gone := os.Stat("/proc/" + pid); gone != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}
	return err
}

// interleave measures both sides, turn by turn. The first turn of each only warms
// the caches; who goes first changes, so that neither always follows the other.
func (b *bench) interleave(runs int, ours, peers func(*bench, int) time.Duration) (o, p []time.Duration) {
	for i := range runs + 1 {
		var our, peer time.Duration
		turns := []func(*bench){
			func(t *bench) { our = ours(t, i) },
			func(t *bench) { peer = peers(t, i) },
		}
		if i%2 == 1 {
			slices.Reverse(turns)
		}
		for _, do := range turns {
			b.turn(do)
		}
		b.Logf("%s %d: ours %.3f s, peer %.3f s", b.name, i, our.Seconds(), peer.Seconds())
		if i > 0 {
			o, p = append(o, our), append(p, peer)
		}
	}
	return o, p
}

func median(values []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
