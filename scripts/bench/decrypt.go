//go:build linux

package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"ss-setup/scripts/lab"
)

// What old VFSs of the measurement have: so many files of such a size.
const (
	oldFiles = 4
	oldSize  = 64 << 20
)

const (
	oldKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	oldIV  = "0f0e0d0c0b0a09080706050403020100"
)

// decryptRows compares decrypting with openssl, in each of the modes that both do block by
// block, by the time of processors: that is what a core can do, whatever else the machine
// does. Files are in memory. Any bytes decrypt to something, so that the files are random.
func decryptRows(b *bench) []row {
	lab.InstallPackages(b, "openssl:openssl")
	dir, err := os.MkdirTemp("/dev/shm", "bench-decrypt-")
	b.must(err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := decryptBench{source: filepath.Join(dir, "old"), key: filepath.Join(dir, "key")}
	b.must(os.Mkdir(d.source, 0o700))
	b.must(os.WriteFile(d.key, []byte(oldKey+"\n"), 0o600))
	content := make([]byte, oldSize)
	for i := range oldFiles {
		_, err := rand.Read(content)
		b.must(err)
		b.must(os.WriteFile(filepath.Join(d.source, fmt.Sprintf("%d.bin", i)), content, 0o600))
	}
	return []row{d.againstOpenSSL(b), d.scaling(b)}
}

type decryptBench struct{ source, key string }

// decrypter is a run of ours.
func (d decryptBench) decrypter(mode, to string, jobs int) *exec.Cmd {
	profile := "aes-256-" + mode + " kdf=hex"
	switch mode {
	case "ecb":
		profile += " pad=none"
	case "cbc":
		profile += " pad=none iv=" + oldIV
	default:
		profile += " iv=" + oldIV
	}
	cmd := exec.Command("bin/ss-vfsdecrypt", "run", "--from", d.source, "--to", to, "--passphrase-file", d.key,
		"--profile", profile, "--jobs", fmt.Sprint(jobs))
	cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", jobs))
	return cmd
}

// openssl decrypts a file.
func openssl(mode, from, to string) *exec.Cmd {
	args := []string{"enc", "-d", "-aes-256-" + mode, "-K", oldKey, "-in", from, "-out", to}
	if mode != "ecb" {
		args = append(args, "-iv", oldIV)
	}
	if mode == "ecb" || mode == "cbc" {
		args = append(args, "-nopad")
	}
	return exec.Command("openssl", args...)
}

// againstOpenSSL is the worst of the modes.
func (d decryptBench) againstOpenSSL(b *bench) row {
	var worst row
	var notes []string
	for _, mode := range []string{"ecb", "cbc", "ctr", "cfb", "ofb"} {
		o, p := b.interleave(b.runs, func(t *bench, _ int) time.Duration {
			return t.processors(d.decrypter(mode, t.memory(), 1))
		}, func(t *bench, _ int) (sum time.Duration) {
			to := t.memory()
			files, err := os.ReadDir(d.source)
			t.must(err)
			for _, f := range files {
				sum += t.processors(openssl(mode, filepath.Join(d.source, f.Name()), filepath.Join(to, f.Name())))
			}
			return sum
		})
		r := newRow("vfsdecrypt_vs_openssl", median(p).Seconds()/median(o).Seconds(), "x", atLeast(0.9), len(o), "").against(median(p))
		notes = append(notes, fmt.Sprintf("%s %.2fx", mode, r.Value))
		if worst.Key == "" || r.Value < worst.Value {
			worst = r
		}
	}
	worst.note = fmt.Sprintf("seconds of a processor for %d MiB, the worst of: %s", oldFiles*oldSize>>20, strings.Join(notes, ", "))
	return worst
}

// scaling tells how much sooner two processors are done than one.
func (d decryptBench) scaling(b *bench) row {
	run := func(jobs int) func(*bench, int) time.Duration {
		return func(t *bench, _ int) time.Duration { return t.timed(d.decrypter("ofb", t.memory(), jobs)) }
	}
	two, one := b.interleave(b.runs, run(2), run(1))
	return newRow("vfsdecrypt_scaling", median(one).Seconds()/median(two).Seconds(), "x", atLeast(1.6), len(two),
		fmt.Sprintf("two files at once %.3f s, one %.3f s; OFB, which leaves the most to the processor", median(two).Seconds(), median(one).Seconds())).against(median(one))
}

// memory is a folder in memory that goes with the turn.
func (b *bench) memory() string {
	dir, err := os.MkdirTemp("/dev/shm", "bench-decrypted-")
	b.must(err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// processors runs a program, and tells how long it kept processors busy.
func (b *bench) processors(cmd *exec.Cmd) time.Duration {
	b.timed(cmd)
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}
