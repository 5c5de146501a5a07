package repository

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/trust"
	"ss-setup/packaging/signing"
)

// vendor makes releases and serves them on the loopback.
type vendor struct {
	t     *testing.T
	vault *signing.Vault
	clock time.Time
	// site is the folder that is served.
	site string
	// anchor is the root that clients were built with.
	anchor trust.Anchor

	// patches go into the next release.
	patches []signing.PatchFile

	mu    sync.Mutex
	asked []string // what was asked for, with the range
	// answer, when set, may answer in place of the site.
	answer func(w http.ResponseWriter, r *http.Request) bool
}

func newVendor(t *testing.T) *vendor {
	t.Helper()
	v := &vendor{t: t, vault: signing.Open(t.TempDir()), clock: time.Now(), site: t.TempDir()}
	v.vault.Now = func() time.Time { return v.clock }
	v.must(v.vault.Init(rand.Reader, false))
	raw, err := os.ReadFile(v.vault.RootFile())
	v.must(err)
	v.anchor, err = trust.NewAnchor(raw)
	v.must(err)
	v.upload()
	return v
}

func (v *vendor) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

// upload copies the metadata in force to the site.
func (v *vendor) upload() {
	v.t.Helper()
	v.must(v.vault.CopyMetadata(filepath.Join(v.site, trust.MetadataDir)))
}

// release publishes a version for linux/amd64 whose payload is the given bytes.
func (v *vendor) release(version, channel string, payload []byte) trust.Release {
	v.t.Helper()
	dir := v.t.TempDir()
	setup := []byte("setup of " + version)
	m := bundle.Manifest{
		Schema: bundle.Schema, Product: bundle.Product, Version: version, OS: "linux", Arch: "amd64",
		Files:   []bundle.File{{Path: "bin/x", Size: 1, Mode: "0755", SHA256: sum([]byte("x"))}},
		Payload: bundle.Blob{Name: bundle.PayloadName, Size: int64(len(payload)), SHA256: sum(payload)},
		Setup:   bundle.Blob{Size: int64(len(setup)), SHA256: sum(setup)},
	}
	raw, err := json.Marshal(m)
	v.must(err)
	for name, content := range map[string][]byte{bundle.ManifestName: raw, bundle.PayloadName: payload, bundle.SetupName: setup} {
		v.must(os.WriteFile(filepath.Join(dir, name), content, 0o644))
	}
	p := []signing.Publication{{Dir: dir, Info: trust.ReleaseInfo{Channel: channel}, Patches: v.patches}}
	v.must(signing.WriteFiles(v.site, p))
	v.must(v.vault.Publish(p, 0))
	v.must(v.vault.UpdateSite(v.site))
	v.patches = nil
	trusted, err := trust.Open(v.t.Context(), trust.Dir(filepath.Join(v.site, trust.MetadataDir)), trust.Options{Anchor: v.anchor, Now: v.clock})
	v.must(err)
	r, err := trusted.Find(trust.Want{OS: "linux", Arch: "amd64", Version: version})
	v.must(err)
	return r
}

func (v *vendor) put(name string, content []byte) {
	v.t.Helper()
	name = filepath.Join(v.site, name)
	v.must(os.MkdirAll(filepath.Dir(name), 0o755))
	v.must(os.WriteFile(name, content, 0o644))
}

// saved is a copy of the site's metadata, to be served again later.
func (v *vendor) saved() string {
	v.t.Helper()
	dir := v.t.TempDir()
	v.must(os.CopyFS(dir, os.DirFS(filepath.Join(v.site, trust.MetadataDir))))
	return dir
}

// restore serves metadata that were saved.
func (v *vendor) restore(dir string) {
	v.t.Helper()
	to := filepath.Join(v.site, trust.MetadataDir)
	v.must(os.RemoveAll(to))
	v.must(os.CopyFS(to, os.DirFS(dir)))
}

// serve answers over HTTP.
func (v *vendor) serve() string {
	v.t.Helper()
	files := http.FileServer(http.Dir(v.site))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		v.asked = append(v.asked, strings.TrimSpace(r.URL.Path+" "+r.Header.Get("Range")))
		answer := v.answer
		v.mu.Unlock()
		if answer == nil || !answer(w, r) {
			files.ServeHTTP(w, r)
		}
	}))
	v.t.Cleanup(s.Close)
	return s.URL
}

// client of the given mirrors that never waits.
func (v *vendor) client(mirrors ...string) *Client {
	v.t.Helper()
	c, err := New(Options{
		Mirrors: mirrors, Proxy: "none", Stall: 2 * time.Second,
		Pause: func(context.Context, time.Duration) error { return nil },
	})
	v.must(err)
	return c
}

// open is what a machine does that has seen what it has seen.
func (v *vendor) open(c *Client, seen *trust.Seen) (*trust.Trusted, error) {
	v.t.Helper()
	return c.Open(v.t.Context(), trust.Options{Anchor: v.anchor, Seen: seen, Now: v.clock})
}

// mustOpen is open that must succeed.
func (v *vendor) mustOpen(c *Client, seen *trust.Seen) *trust.Trusted {
	v.t.Helper()
	t, err := v.open(c, seen)
	v.must(err)
	return t
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}
