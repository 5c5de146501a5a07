package daemon

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/store"
)

const secret = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

func testSchema() store.Schema {
	return store.Schema{
		Product: "test", File: "test.db", LockWait: 50 * time.Millisecond,
		Migrations: []store.Migration{{Name: "first", Apply: func(*bbolt.Tx, store.Progress) error { return nil }}},
	}
}

// options are those of a daemon with a store, on a port of its own.
func options(t *testing.T) (opt Options, current string) {
	t.Helper()
	current, data := newHome(t, "7")
	if _, err := testSchema().Migrate(data, true, func(int64, int64, string) {}); err != nil {
		t.Fatal(err)
	}
	state := filepath.Dir(data)
	if err := os.WriteFile(filepath.Join(state, "probe.key"), []byte(secret+"\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	return Options{
		Home: current, DataLink: "data", State: state, Listen: "127.0.0.1:0", Role: "local",
		Schema: testSchema(), Log: slog.New(slog.DiscardHandler),
		Handler: func(i *Instance) http.Handler {
			mux := http.NewServeMux()
			mux.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(i.Health(r)) })
			mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(300 * time.Millisecond)
				io.WriteString(w, "done")
			})
			return mux
		},
	}, current
}

func start(t *testing.T, opt Options) *Instance {
	t.Helper()
	i, err := Start(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.Stop() })
	return i
}

func client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2: true,
	}}
}

func health(t *testing.T, i *Instance, probe string) map[string]any {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "https://"+i.Addr()+"/health", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(ProbeHeader, probe)
	resp, err := client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var h map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&h); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestDaemonTellsProbesWhatTheyMayKnow(t *testing.T) {
	opt, current := options(t)
	i := start(t, opt)
	t.Run("everybody gets version and readiness", func(t *testing.T) {
		for _, probe := range []string{"", "x", strings.Repeat("0", 64), secret + "0"} {
			h := health(t, i, probe)
			if h["status"] != "ok" || h["ready"] != true || h["role"] != "local" || h["open"] != false || len(h) != 5 {
				t.Errorf("probe %q: %v", probe, h)
			}
		}
	})
	t.Run("who knows the secret gets generation, schema, process and certificate", func(t *testing.T) {
		h := health(t, i, secret)
		if h["generation"] != 7.0 || h["schema"] != 1.0 || h["pid"] != float64(os.Getpid()) || h["fingerprint"] != i.Fingerprint() {
			t.Errorf("%v", h)
		}
	})
	t.Run("a new secret is known without a restart, the old one no longer", func(t *testing.T) {
		other := strings.Repeat("ab", 32)
		if err := os.WriteFile(filepath.Join(opt.State, "probe.key"), []byte(other), 0o640); err != nil {
			t.Fatal(err)
		}
		if len(health(t, i, other)) <= 5 || len(health(t, i, secret)) > 5 {
			t.Error("the old secret counts")
		}
	})
	t.Run("an empty or missing secret file matches nobody", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(opt.State, "probe.key"), nil, 0o640); err != nil {
			t.Fatal(err)
		}
		if len(health(t, i, "")) > 5 {
			t.Error("an empty header is known")
		}
		if err := os.Remove(filepath.Join(opt.State, "probe.key")); err != nil {
			t.Fatal(err)
		}
		if len(health(t, i, secret)) > 5 {
			t.Error("a header is known without a file")
		}
	})
	t.Run("the commit opens it", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(current, "open"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(5 * time.Second); health(t, i, "")["open"] != true; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("still closed")
			}
		}
	})
}

func TestDaemonRefusesToStart(t *testing.T) {
	t.Run("without a store, and makes none", func(t *testing.T) {
		opt, _ := options(t)
		path := filepath.Join(opt.Home, "data", "test.db")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := Start(opt); !errors.Is(err, store.ErrNoStore) {
			t.Errorf("got %v, want ErrNoStore", err)
		}
		if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 0 {
			t.Errorf("left %v", left)
		}
	})
	t.Run("beside another one on the same store, before it touches anything", func(t *testing.T) {
		opt, _ := options(t)
		st, err := testSchema().Open(filepath.Join(opt.Home, "data"))
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if _, err := Start(opt); !errors.Is(err, store.ErrInUse) {
			t.Errorf("got %v, want ErrInUse", err)
		}
		if _, err := os.Stat(filepath.Join(opt.Home, "data", "tls")); err == nil {
			t.Error("made a certificate")
		}
	})
	t.Run("on a port that is taken, and gives the store back", func(t *testing.T) {
		opt, _ := options(t)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		opt.Listen = l.Addr().String()
		if _, err := Start(opt); err == nil || !strings.Contains(err.Error(), "choose one in the configuration file") {
			t.Errorf("got %v", err)
		}
		opt.Listen = "127.0.0.1:0"
		start(t, opt)
	})
}

func TestDaemonStops(t *testing.T) {
	stop := func(t *testing.T, i *Instance) time.Duration {
		t.Helper()
		began := time.Now()
		if err := i.Stop(); err != nil {
			t.Error(err)
		}
		return time.Since(began)
	}
	t.Run("at once when only idle connections are open", func(t *testing.T) {
		opt, _ := options(t)
		i := start(t, opt)
		health(t, i, "") // its client keeps the connection
		// Without our own closing it is a second and more.
		if took := stop(t, i); took > 950*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
	t.Run("soon when a browser opened connections in advance", func(t *testing.T) {
		opt, _ := options(t)
		i := start(t, opt)
		conn, err := tls.Dial("tcp", i.Addr(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// Without our own closing it is more than 5 seconds.
		if took := stop(t, i); took > 4*time.Second {
			t.Errorf("took %v", took)
		}
	})
	t.Run("after running requests", func(t *testing.T) {
		opt, _ := options(t)
		i := start(t, opt)
		answer := make(chan string)
		go func() {
			resp, err := client().Get("https://" + i.Addr() + "/slow")
			if err != nil {
				answer <- err.Error()
				return
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			answer <- string(text)
		}()
		time.Sleep(150 * time.Millisecond)
		stop(t, i)
		if got := <-answer; got != "done" {
			t.Errorf("the request got %q", got)
		}
	})
	t.Run("and leaves store and port to the next", func(t *testing.T) {
		opt, _ := options(t)
		i := start(t, opt)
		opt.Listen = i.Addr()
		stop(t, i)
		start(t, opt)
	})
	t.Run("what was started with it before the store", func(t *testing.T) {
		opt, _ := options(t)
		var closed closer
		opt.Started = func(i *Instance) io.Closer {
			closed.store = i.Store
			return &closed
		}
		i := start(t, opt)
		stop(t, i)
		if !closed.first {
			t.Error("the store was closed first, or the other not at all")
		}
	})
}

// closer notes whether the store still worked when it was closed.
type closer struct {
	store *store.Store
	first bool
}

func (c *closer) Close() error {
	c.first = c.store.View(func(*bbolt.Tx) error { return nil }) == nil
	return nil
}

func TestAnInstanceStartsAnewOnceAndNotWhenItHasStopped(t *testing.T) {
	opt, _ := options(t)
	i := start(t, opt)
	if err := i.StartAnew(func() {}); err != nil {
		t.Fatal(err)
	}
	<-i.again // as Run does, before it stops this one
	if err := i.StartAnew(func() {}); err == nil {
		t.Error("nobody will ever read the second one")
	}
	opt, _ = options(t)
	i = start(t, opt)
	if err := i.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := i.StartAnew(func() {}); err == nil {
		t.Error("one that has stopped takes it")
	}
}

func TestRunEndsWithTheErrorOfTheStart(t *testing.T) {
	broken := errors.New("broken on purpose")
	if err := Run("test", false, func() (*Instance, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestRunEndsWithTheErrorThatStoppedTheService(t *testing.T) {
	opt, _ := options(t)
	broken := errors.New("the listener broke")
	err := Run("test", false, func() (*Instance, error) {
		i, err := Start(opt)
		if err == nil {
			i.failed <- broken
		}
		return i, err
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestConfigWarningsNameFileAndSetting(t *testing.T) {
	var out strings.Builder
	WarnOfConfig(slog.New(slog.NewTextHandler(&out, nil)), "/etc/x.toml", false, []string{"future"})
	if got := out.String(); strings.Count(got, "path=/etc/x.toml") != 2 || !strings.Contains(got, "setting=future") {
		t.Error(got)
	}
}

func FuzzParseSecret(f *testing.F) {
	for _, seed := range []string{secret, secret + "\n", secret + "\r\n", "", "\n", strings.Repeat("0", 63), strings.Repeat("z", 64)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseSecret(text)
		if err == nil && (len(got) != secretLen || strings.Trim(string(got), "0123456789abcdefABCDEF") != "") {
			t.Errorf("%q is a secret", got)
		}
	})
}
