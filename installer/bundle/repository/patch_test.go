package repository

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/delta"
	"ss-setup/installer/bundle/trust"
	"ss-setup/packaging/signing"
)

// patched publishes two releases and the patches from one to the other.
func patched(t *testing.T, v *vendor) (base *Base, r trust.Release) {
	t.Helper()
	payload := func(text string) []byte {
		p, err := delta.ClosePayload([]byte(strings.Repeat(text+" and what does not change\n", 20_000)), zstd.SpeedBetterCompression)
		v.must(err)
		return p
	}
	oldPayload, newPayload := payload("old"), payload("new")
	old := v.release("7.0.0", trust.Stable, oldPayload)
	dir := t.TempDir()
	base = &Base{Digest: old.Digest, Setup: filepath.Join(dir, "ss-setup"), Payload: filepath.Join(dir, "payload")}
	v.must(os.WriteFile(base.Setup, []byte("setup of 7.0.0"), 0o700))
	v.must(os.WriteFile(base.Payload, oldPayload, 0o600))

	setup, err := delta.Make([]byte("setup of 7.0.0"), []byte("setup of 7.0.1"))
	v.must(err)
	made, err := delta.MakePayload(oldPayload, newPayload)
	v.must(err)
	v.patches = []signing.PatchFile{
		{File: filepath.Join(dir, "s.patch"), Info: trust.PatchInfo{From: old.Digest, Of: bundle.SetupName}},
		{File: filepath.Join(dir, "p.patch"), Info: trust.PatchInfo{From: old.Digest, Of: bundle.PayloadName, Archive: made.Size, Level: int(made.Level)}},
	}
	v.must(os.WriteFile(v.patches[0].File, setup, 0o600))
	v.must(os.WriteFile(v.patches[1].File, made.Patch, 0o600))
	return base, v.release("7.0.1", trust.Stable, newPayload)
}

// fetched gets a release and tells which files were asked for in full.
func fetched(t *testing.T, v *vendor, r trust.Release, base *Base) (whole []string) {
	t.Helper()
	c := v.client(v.serve())
	f := &Fetch{Client: c, Release: r, Seen: v.mustOpen(c, nil).Seen(), Dir: t.TempDir(), Base: base}
	v.asked = nil
	v.must(f.Setup(t.Context()))
	v.must(f.Payload(t.Context()))
	for name, want := range map[string]trust.Target{bundle.PayloadName: r.Payload, bundle.SetupName: r.Setup} {
		got, err := os.ReadFile(filepath.Join(f.Folder(), name))
		v.must(err)
		if bundle.Digest(got) != want.SHA256 {
			t.Errorf("%s is not what was released", name)
		}
	}
	for _, asked := range v.asked {
		if strings.HasSuffix(asked, "."+bundle.PayloadName) || strings.HasSuffix(asked, "."+bundle.SetupName) {
			whole = append(whole, asked)
		}
	}
	entries, err := os.ReadDir(f.Folder())
	v.must(err)
	if len(entries) != 4 {
		t.Errorf("in the folder are %v", entries)
	}
	return whole
}

func TestAnUpdateDownloadsPatchesAndGetsTheWholeFiles(t *testing.T) {
	v := newVendor(t)
	base, r := patched(t, v)
	// The patch of the tiny ss-setup is larger than itself, so it is not used.
	if whole := fetched(t, v, r, base); len(whole) != 1 || !strings.Contains(whole[0], bundle.SetupName) {
		t.Errorf("downloaded as a whole: %q", whole)
	}
}

func TestWithoutAFittingPatchTheWholeIsDownloadedSilently(t *testing.T) {
	for name, harm := range map[string]func(v *vendor, base *Base, r trust.Release){
		"another release is installed": func(_ *vendor, base *Base, _ trust.Release) { base.Digest = strings.Repeat("0", 64) },
		"the installed payload is damaged": func(v *vendor, base *Base, _ trust.Release) {
			other, err := delta.ClosePayload([]byte(strings.Repeat("something else\n", 20_000)), zstd.SpeedBetterCompression)
			v.must(err)
			v.must(os.WriteFile(base.Payload, other, 0o600))
		},
		"the installed payload is gone": func(v *vendor, base *Base, _ trust.Release) { v.must(os.Remove(base.Payload)) },
		"the patch is not on the server": func(v *vendor, _ *Base, r trust.Release) {
			p, _ := r.Patch(r.Patches[0].From, bundle.PayloadName)
			v.must(os.Remove(filepath.Join(v.site, "targets", p.StoredAs())))
		},
		"the patch is another": func(v *vendor, _ *Base, r trust.Release) {
			p, _ := r.Patch(r.Patches[0].From, bundle.PayloadName)
			v.put("targets/"+p.StoredAs(), bytes.Repeat([]byte("x"), int(p.Size)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			base, r := patched(t, v)
			harm(v, base, r)
			if whole := fetched(t, v, r, base); len(whole) != 2 {
				t.Errorf("downloaded as a whole: %q", whole)
			}
		})
	}
}
