package repository

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/trust"
)

var large = bytes.Repeat([]byte("a payload of some size. "), 40_000)

func TestAReleaseIsFetchedAsABundleThatIsTrustedOffline(t *testing.T) {
	v := newVendor(t)
	r := v.release("7.0.0", trust.Stable, large)
	c := v.client(v.serve())
	trusted := v.mustOpen(c, nil)
	dir := t.TempDir()
	v.must(os.MkdirAll(filepath.Join(dir, "6.9.9-00000000"), 0o700))
	var done, total int64
	f := &Fetch{Client: c, Release: r, Seen: trusted.Seen(), Dir: dir, Progress: func(d, of int64) { done, total = d, of }}
	v.must(f.Setup(t.Context()))
	v.must(f.Payload(t.Context()))
	folder := f.Folder()
	if done != total || total < int64(len(large)) {
		t.Errorf("last progress is %d of %d", done, total)
	}
	if _, err := os.Stat(filepath.Join(dir, "6.9.9-00000000")); err == nil {
		t.Error("a download that was given up is still there")
	}
	again, err := trust.Open(t.Context(), trust.Dir(filepath.Join(folder, trust.MetadataDir)), trust.Options{Anchor: v.anchor, Now: v.clock, Offline: true})
	v.must(err)
	b, err := bundle.OpenTrusted(folder, again)
	v.must(err)
	if b.Manifest.Version != "7.0.0" {
		t.Errorf("version %s", b.Manifest.Version)
	}
	v.must(b.VerifySetup(t.Context()))
	info, err := os.Stat(b.SetupPath())
	v.must(err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("ss-setup has mode %04o", info.Mode().Perm())
	}
}

func TestACutDownloadIsTakenUpWhereItEnded(t *testing.T) {
	v := newVendor(t)
	r := v.release("7.0.0", trust.Stable, large)
	cut := 0
	v.answer = func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.HasSuffix(req.URL.Path, bundle.PayloadName) || cut > 0 {
			return false
		}
		cut++
		w.Header().Set("Content-Length", "960000")
		_, _ = w.Write(large[:300_000])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	file := filepath.Join(t.TempDir(), "payload")
	v.must(v.client(v.serve()).Download(t.Context(), r.Payload, file, nil))
	if got, _ := os.ReadFile(file); !bytes.Equal(got, large) {
		t.Error("the file is not what was released")
	}
	if last := v.asked[len(v.asked)-1]; !strings.Contains(last, "bytes=") || strings.HasSuffix(last, "bytes=0-") {
		t.Errorf("the second request was %q", last)
	}
}

// A line that breaks every few minutes brings a large file all the same.
func TestADownloadThatGoesOnGrowingIsNotGivenUp(t *testing.T) {
	v := newVendor(t)
	r := v.release("7.0.0", trust.Stable, large)
	const piece = 100_000
	v.answer = func(w http.ResponseWriter, req *http.Request) bool {
		from := 0
		if !strings.HasSuffix(req.URL.Path, bundle.PayloadName) {
			return false
		}
		_, _ = fmt.Sscanf(req.Header.Get("Range"), "bytes=%d-", &from)
		w.Header().Set("Content-Length", strconv.Itoa(len(large)-from))
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(large)-1, len(large)))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		_, _ = w.Write(large[from:min(from+piece, len(large))])
		w.(http.Flusher).Flush()
		if from+piece < len(large) {
			panic(http.ErrAbortHandler)
		}
		return true
	}
	file := filepath.Join(t.TempDir(), "payload")
	v.must(v.client(v.serve()).Download(t.Context(), r.Payload, file, nil))
	if got, _ := os.ReadFile(file); !bytes.Equal(got, large) {
		t.Error("the file is not what was released")
	}
}

func TestADownloadOfAnEarlierRunIsTakenUpAndProved(t *testing.T) {
	v := newVendor(t)
	r := v.release("7.0.0", trust.Stable, large)
	c := v.client(v.serve())
	for name, part := range map[string][]byte{
		"a good part": large[:12345], "a damaged part": bytes.Repeat([]byte("X"), 12345),
		"more than there is": append(bytes.Clone(large), 'X'), "all of it": large, "all, but damaged": bytes.Repeat([]byte("X"), len(large)),
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "payload")
			v.must(os.WriteFile(file+partSuffix, part, 0o600))
			v.must(c.Download(t.Context(), r.Payload, file, nil))
			if got, _ := os.ReadFile(file); !bytes.Equal(got, large) {
				t.Error("the file is not what was released")
			}
		})
	}
}

func TestAServerThatCannotResumeIsNoObstacle(t *testing.T) {
	v := newVendor(t)
	r := v.release("7.0.0", trust.Stable, large)
	v.answer = func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.HasSuffix(req.URL.Path, bundle.PayloadName) {
			return false
		}
		_, _ = w.Write(large)
		return true
	}
	file := filepath.Join(t.TempDir(), "payload")
	v.must(os.WriteFile(file+partSuffix, large[:999], 0o600))
	v.must(v.client(v.serve()).Download(t.Context(), r.Payload, file, nil))
}

func TestTheNextMirrorIsAskedWhenOneFails(t *testing.T) {
	good, bad, stale := newVendor(t), newVendor(t), newVendor(t)
	r := good.release("7.0.0", trust.Stable, large)
	bad.answer = func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return true
	}
	c := good.client("http://127.0.0.1:1", bad.serve(), stale.serve(), good.serve())
	var warned []string
	c.o.Warn = func(m string) { warned = append(warned, m) }
	trusted := good.mustOpen(c, nil)
	if len(trusted.Releases) != 1 || len(warned) != 3 {
		t.Errorf("%d releases, warned %q", len(trusted.Releases), warned)
	}
	if len(bad.asked) != tries {
		t.Errorf("a server that is down was asked %d times, want %d", len(bad.asked), tries)
	}
	good.must(c.Download(t.Context(), r.Payload, filepath.Join(t.TempDir(), "payload"), nil))
}

func TestWhatWasTriedIsNamedWhenNoMirrorAnswers(t *testing.T) {
	c, err := New(Options{
		Mirrors: []string{"http://user:secret@127.0.0.1:1/a", "https://127.0.0.1:2/b"}, Proxy: "http://me:secret@127.0.0.1:3",
		Pause: newVendor(t).client("http://x").o.Pause,
	})
	if err != nil {
		t.Fatal(err)
	}
	v := newVendor(t)
	_, err = v.open(c, nil)
	lost, ok := errors.AsType[*Unreachable](err)
	if !ok || len(lost.Tried) != 2 {
		t.Fatalf("error is %v", err)
	}
	for _, want := range []string{"127.0.0.1:1/a", "127.0.0.1:2/b", "through the proxy http://me:xxxxx@127.0.0.1:3", "refused"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("a password is told: %v", err)
	}
}

func TestAProxyIsUsed(t *testing.T) {
	v := newVendor(t)
	r := v.release("7.0.0", trust.Stable, large)
	site, err := url.Parse(v.serve())
	v.must(err)
	through := 0
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(req *httputil.ProxyRequest) {
		through++
		req.Out.URL.Scheme, req.Out.URL.Host = "http", site.Host
	}})
	defer proxy.Close()
	c, err := New(Options{Mirrors: []string{"http://releases.invalid/"}, Proxy: proxy.URL})
	v.must(err)
	v.mustOpen(c, nil)
	v.must(c.Download(t.Context(), r.Payload, filepath.Join(t.TempDir(), "payload"), nil))
	if through < 5 {
		t.Errorf("%d requests went through the proxy", through)
	}
}

func TestACustomAuthorityIsTrustedForTheConnection(t *testing.T) {
	v := newVendor(t)
	v.release("7.0.0", trust.Stable, large)
	site := httptest.NewTLSServer(http.FileServer(http.Dir(v.site)))
	defer site.Close()
	plain, err := New(Options{Mirrors: []string{site.URL}, Proxy: "none"})
	v.must(err)
	if _, err := v.open(plain, nil); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error is %v, want one about the certificate", err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	v.must(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: site.Certificate().Raw}), 0o600))
	c, err := New(Options{Mirrors: []string{site.URL}, CAFile: file, Proxy: "none"})
	v.must(err)
	v.mustOpen(c, nil)
}

func TestATransferInWhichNothingComesIsGivenUp(t *testing.T) {
	v := newVendor(t)
	v.answer = func(w http.ResponseWriter, req *http.Request) bool {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-req.Context().Done()
		return true
	}
	c := v.client(v.serve())
	c.o.Stall = 50_000_000 // 50 ms
	if _, err := v.open(c, nil); !errors.Is(err, errStalled) {
		t.Fatalf("error is %v", err)
	}
}

// dripping answers a path with a byte now and then, for ever.
func (v *vendor) dripping(path string, every time.Duration) {
	v.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, path) {
			return false
		}
		w.WriteHeader(http.StatusOK)
		for r.Context().Err() == nil {
			_, _ = w.Write([]byte(" "))
			w.(http.Flusher).Flush()
			time.Sleep(every)
		}
		return true
	}
}

func TestAServerThatSendsAByteNowAndThenHoldsNobody(t *testing.T) {
	for _, name := range []string{"2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"} {
		t.Run(name, func(t *testing.T) {
			v, good := newVendor(t), newVendor(t)
			v.release("7.0.0", trust.Stable, large)
			v.dripping(name, 100*time.Millisecond)
			c := v.client(v.serve())
			c.o.Stall = 300 * time.Millisecond
			start := time.Now()
			if _, err := v.open(c, nil); !errors.Is(err, errSlow) {
				t.Fatalf("error is %v", err)
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("it took %s: that mirror was asked again", took)
			}
			good.vault = v.vault
			good.site = v.site // the same files from a server that is quick
			c = v.client(v.serve(), good.serve())
			c.o.Stall = 300 * time.Millisecond
			v.mustOpen(c, nil)
		})
	}
	t.Run("a payload", func(t *testing.T) {
		v := newVendor(t)
		r := v.release("7.0.0", trust.Stable, large)
		v.dripping(bundle.PayloadName, 100*time.Millisecond)
		c := v.client(v.serve())
		c.o.Stall = 300 * time.Millisecond
		if err := c.Download(t.Context(), r.Payload, filepath.Join(t.TempDir(), "payload"), nil); !errors.Is(err, errSlow) {
			t.Fatalf("error is %v", err)
		}
	})
}

// A wrong address, or a page of a hotel's network, is no attack.
func TestAnAddressWithoutARepositoryIsToldAsSuch(t *testing.T) {
	v := newVendor(t)
	for name, code := range map[string]int{"not found": http.StatusNotFound, "forbidden": http.StatusForbidden} {
		v.answer = func(w http.ResponseWriter, _ *http.Request) bool {
			http.Error(w, "no", code)
			return true
		}
		_, err := v.open(v.client(v.serve()), nil)
		lost, ok := errors.AsType[*Unreachable](err)
		if !ok || errors.Is(err, bundle.ErrUntrusted) || len(lost.Tried) != 1 {
			t.Errorf("%s: error is %v", name, err)
			continue
		}
		for _, want := range []string{"there is no repository of releases", "metadata/timestamp.json", fmt.Sprint(code)} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in: %v", name, want, err)
			}
		}
	}
}

func TestARedirectNeverLeavesTLS(t *testing.T) {
	v := newVendor(t)
	away := v.serve()
	site := httptest.NewTLSServer(http.RedirectHandler(away, http.StatusFound))
	defer site.Close()
	c := v.client(site.URL)
	c.http.Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify = true
	if _, err := v.open(c, nil); err == nil || !strings.Contains(err.Error(), "redirected from https to http") {
		t.Fatalf("error is %v", err)
	}
}

func TestWrongAddressesAreRefusedAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"no mirror":              {},
		"a path":                 {Mirrors: []string{"/srv/releases"}},
		"another scheme":         {Mirrors: []string{"ftp://example.org"}},
		"no host":                {Mirrors: []string{"https:///x"}},
		"a proxy of words":       {Mirrors: []string{"https://example.org"}, Proxy: "the proxy"},
		"no certificate at all":  {Mirrors: []string{"https://example.org"}, CAFile: file},
		"no file of that name":   {Mirrors: []string{"https://example.org"}, CAFile: file + "-elsewhere"},
		"one wrong among others": {Mirrors: []string{"https://example.org", "x"}},
	} {
		if _, err := New(o); !errors.Is(err, ErrAddress) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestChannelsAndVersionsChooseTheRelease(t *testing.T) {
	v := newVendor(t)
	for version, channel := range map[string]string{"7.0.0": trust.Stable, "7.0.1": trust.Stable, "7.1.0-beta.1": trust.Beta, "6.9.0": trust.Stable} {
		v.release(version, channel, []byte(version))
	}
	trusted := v.mustOpen(v.client(v.serve()), nil)
	for _, c := range []struct {
		want trust.Want
		is   string
	}{
		{trust.Want{}, "7.0.1"},
		{trust.Want{Channel: trust.Beta}, "7.1.0-beta.1"},
		{trust.Want{Version: "7.0.0"}, "7.0.0"},
		{trust.Want{Version: "7.1.0-beta.1"}, "7.1.0-beta.1"},
		{trust.Want{Version: "8.0.0"}, ""},
		{trust.Want{Arch: "arm64"}, ""},
	} {
		c.want.OS = "linux"
		if c.want.Arch == "" {
			c.want.Arch = "amd64"
		}
		r, err := trusted.Find(c.want)
		if r.Version != c.is || (c.is == "") != errors.Is(err, trust.ErrNoRelease) {
			t.Errorf("%+v finds %q, %v", c.want, r.Version, err)
		}
	}
	v.must(v.vault.Promote("7.1.0-beta.1", trust.Stable))
	v.upload()
	if r, err := v.mustOpen(v.client(v.serve()), nil).Find(trust.Want{OS: "linux", Arch: "amd64"}); err != nil || r.Version != "7.1.0-beta.1" {
		t.Errorf("after the promotion: %s, %v", r.Version, err)
	}
}
