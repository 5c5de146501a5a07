package daemon

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"time"
)

// patience is the daemon of a test whose handler answers, and clients of both protocols for it.
func patience(t *testing.T, limit time.Duration, answer http.HandlerFunc) (address string, clients map[string]*http.Client) {
	t.Helper()
	whole := writePatience
	writePatience = limit
	t.Cleanup(func() { writePatience = whole })
	opt, _ := options(t)
	opt.Handler = func(*Instance) http.Handler { return answer }
	i := start(t, opt)
	t.Cleanup(i.quiet.closeAll)
	first := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	return "https://" + i.Addr() + "/", map[string]*http.Client{"HTTP/1.1": {Transport: first}, "HTTP/2.0": client()}
}

// get asks over the protocol that it is told.
func get(t *testing.T, c *http.Client, proto, address string) *http.Response {
	t.Helper()
	got, err := c.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { got.Body.Close() })
	if got.Proto != proto {
		t.Fatalf("asked by %s, not %s", got.Proto, proto)
	}
	return got
}

func TestWhoReadsNothingOfAnAnswerKeepsItNotForEver(t *testing.T) {
	page := make([]byte, 64<<20) // more than a kernel or a window takes
	ended := map[string]chan error{"HTTP/1.1": make(chan error, 1), "HTTP/2.0": make(chan error, 1)}
	address, clients := patience(t, 200*time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
		_, err := w.Write(page)
		ended[r.Proto] <- err
	})
	for proto, c := range clients {
		t.Run(proto, func(t *testing.T) {
			get(t, c, proto, address)
			select {
			case err := <-ended[proto]:
				if err == nil {
					t.Error("all of it was written")
				}
			case <-time.After(20 * time.Second):
				t.Error("it is still being written")
			}
		})
	}
}

func TestWhoReadsSlowlyGetsAllOfAnAnswer(t *testing.T) {
	page := make([]byte, 24<<20)
	const limit = 700 * time.Millisecond
	address, clients := patience(t, limit, func(w http.ResponseWriter, _ *http.Request) { w.Write(page) })
	for proto, c := range clients {
		t.Run(proto, func(t *testing.T) {
			got, began := get(t, c, proto, address), time.Now()
			for n := int64(0); n < int64(len(page)); {
				read, err := io.CopyN(io.Discard, got.Body, 1<<20)
				if n += read; err != nil {
					t.Fatalf("after %d bytes and %v: %v", n, time.Since(began), err)
				}
				time.Sleep(80 * time.Millisecond)
			}
			if took := time.Since(began); took < 2*limit {
				t.Errorf("it took %v, which tries nothing", took)
			}
		})
	}
}

func TestAnAnswerMayPauseAndAFileMayTakeItsTimeToCome(t *testing.T) {
	const limit = 100 * time.Millisecond
	address, clients := patience(t, limit, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		for range 3 {
			io.WriteString(w, "news")
			http.NewResponseController(w).Flush()
			time.Sleep(3 * limit)
		}
	})
	for proto, c := range clients {
		t.Run(proto, func(t *testing.T) {
			for _, body := range []io.Reader{nil, &trickle{pause: limit, left: 5}, nil} {
				r, err := http.NewRequest(http.MethodPost, address, body)
				if err != nil {
					t.Fatal(err)
				}
				got, err := c.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(got.Body)
				got.Body.Close()
				if err != nil || !bytes.Equal(text, []byte("newsnewsnews")) || got.Proto != proto {
					t.Errorf("%s: %q, %v", got.Proto, text, err)
				}
				time.Sleep(2 * limit) // the connection is used again
			}
		})
	}
}

// trickle is a body that comes byte by byte.
type trickle struct {
	pause time.Duration
	left  int
}

// Read implements io.Reader.
func (r *trickle) Read(p []byte) (int, error) {
	if r.left--; r.left < 0 {
		return 0, io.EOF
	}
	time.Sleep(r.pause)
	return copy(p, "x"), nil
}
