package release

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"ss-setup/installer/bundle"
)

// input makes a folder of programs and definitions; every call has other times and modes.
func input(t *testing.T, mode os.FileMode, when time.Time) Options {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"bin/ss-setup":                         strings.Repeat("the installer ", 5000),
		"bin/ss-server":                        strings.Repeat("the server ", 50000),
		"bin/ss-licensed":                      strings.Repeat("the license daemon ", 30000),
		"bin/lmu":                              "the utility",
		"bin/ss-vfsdecrypt":                    "the decrypter",
		"bin/stray":                            "not part of a release",
		"services/services.go":                 "package services",
		"services/systemd/ss-server.service":   "[Service]\nUser={{.User}}\n",
		"services/sysv/ss-server":              "#!/bin/sh\n",
		"services/openrc/ss-licensed":          "#!/sbin/openrc-run\n",
		"services/systemd/ss-licensed.service": "[Service]\n",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, when, when); err != nil {
			t.Fatal(err)
		}
	}
	return Options{
		Version:  "7.0.0",
		Bin:      filepath.Join(dir, "bin"),
		Services: filepath.Join(dir, "services"),
		Setup:    filepath.Join(dir, "bin", "ss-setup"),
		Out:      filepath.Join(dir, "out"),
		OS:       "linux",
		Arch:     "amd64",
		Level:    3,
	}
}

func read(t *testing.T, parts ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSameInputGivesTheSameBytes(t *testing.T) {
	for _, level := range []int{1, 3, 19} {
		a := input(t, 0o600, time.Unix(1_000_000_000, 0))
		b := input(t, 0o777, time.Now())
		a.Level, b.Level = level, level
		for _, o := range []Options{a, b} {
			if _, err := Bundle(o); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{bundle.ManifestName, bundle.PayloadName, bundle.SetupName} {
			if !bytes.Equal(read(t, a.Out, name), read(t, b.Out, name)) {
				t.Errorf("level %d: %s differs between two builds of the same files", level, name)
			}
		}
	}
}

func TestPayloadHoldsExactlyWhatTheManifestDeclares(t *testing.T) {
	o := input(t, 0o640, time.Now())
	if _, err := Bundle(o); err != nil {
		t.Fatal(err)
	}
	m, err := bundle.Parse(read(t, o.Out, bundle.ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	for _, f := range m.Files {
		declared = append(declared, f.Path+" "+f.Mode)
	}
	want := []string{
		"bin/lmu 0755", "bin/ss-licensed 0755", "bin/ss-server 0755", "bin/ss-vfsdecrypt 0755",
		"services/openrc/ss-licensed 0644", "services/systemd/ss-licensed.service 0644",
		"services/systemd/ss-server.service 0644", "services/sysv/ss-server 0644",
	}
	if !slices.Equal(declared, want) {
		t.Fatalf("manifest declares %q, want %q", declared, want)
	}

	z, err := zstd.NewReader(bytes.NewReader(read(t, o.Out, bundle.PayloadName)))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	archive := tar.NewReader(z)
	for _, f := range m.Files {
		h, err := archive.Next()
		if err != nil {
			t.Fatalf("entry of %s: %v", f.Path, err)
		}
		if h.Name != f.Path || h.Size != f.Size || h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != 0 {
			t.Errorf("entry %+v does not fit %+v", h, f)
		}
	}
	if h, err := archive.Next(); err != io.EOF {
		t.Errorf("payload holds more than the manifest declares: %v %v", h, err)
	}
}

func TestRefusesIncompleteInput(t *testing.T) {
	for name, spoil := range map[string]func(*Options){
		"no version":           func(o *Options) { o.Version = "" },
		"a version of words":   func(o *Options) { o.Version = "next" },
		"a version with a v":   func(o *Options) { o.Version = "v7.0.0" },
		"a missing program":    func(o *Options) { os.Remove(filepath.Join(o.Bin, "lmu")) },
		"no definitions":       func(o *Options) { o.Services += "-elsewhere" },
		"no installer":         func(o *Options) { o.Setup += "-elsewhere" },
		"an installer of text": func(o *Options) { o.OS, o.Arch = "", "" },
	} {
		t.Run(name, func(t *testing.T) {
			o := input(t, 0o755, time.Now())
			spoil(&o)
			if _, err := Bundle(o); err == nil {
				t.Error("a bundle was made")
			}
			if _, err := os.Stat(filepath.Join(o.Out, bundle.ManifestName)); err == nil {
				t.Error("a manifest was left, though the bundle is not whole")
			}
		})
	}
}

func TestReadsTheTargetFromTheInstaller(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := input(t, 0o755, time.Now())
	o.Setup, o.OS, o.Arch = self, "", ""
	m, err := Bundle(o)
	if err != nil {
		t.Fatal(err)
	}
	if m.OS == "" || m.Arch == "" {
		t.Errorf("target %q/%q", m.OS, m.Arch)
	}
}
