package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// serveMe answers whoever runs the tests, as it answers root in earnest.
func serveMe(t *testing.T, path string, verbs map[string]Verb) *Server {
	t.Helper()
	s, err := serve(path, verbs, slog.New(slog.DiscardHandler), func(c net.Conn) error {
		return onlyUser(c, uint32(os.Geteuid()))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func socketPath(t *testing.T) string {
	t.Helper()
	// A socket's path is limited to 108 bytes; the test's own folder may be deep.
	dir, err := os.MkdirTemp("", "ctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "control.sock")
}

func echo(answer any, err error) Verb {
	return func(context.Context, *Request) (any, error) { return answer, err }
}

func TestCall(t *testing.T) {
	path := socketPath(t)
	serveMe(t, path, map[string]Verb{
		"hello": echo(map[string]string{"text": "good night"}, nil),
		"fail":  echo(nil, errors.New("the store is read-only")),
		"list":  echo(map[string]string{"text": strings.Repeat("token ", 100_000)}, nil),
	})
	t.Run("brings a long answer", func(t *testing.T) {
		var got struct{ Text string }
		if err := Call(t.Context(), path, "list", &got); err != nil || len(got.Text) != 600_000 {
			t.Errorf("%d bytes, %v", len(got.Text), err)
		}
	})
	t.Run("brings the answer", func(t *testing.T) {
		var got struct{ Text string }
		if err := Call(t.Context(), path, "hello", &got); err != nil || got.Text != "good night" {
			t.Errorf("%q, %v", got.Text, err)
		}
	})
	t.Run("brings the server's error", func(t *testing.T) {
		if err := Call(t.Context(), path, "fail", nil); err == nil || err.Error() != "the running server: the store is read-only" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("is told of a verb that the server does not know", func(t *testing.T) {
		if err := Call(t.Context(), path, "dance", nil); err == nil || !strings.Contains(err.Error(), `does not know the request "dance"`) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("works many at a time", func(t *testing.T) {
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				var got any
				if err := Call(t.Context(), path, "hello", &got); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
	t.Run("says that no server runs", func(t *testing.T) {
		gone := socketPath(t)
		if err := Call(t.Context(), gone, "hello", nil); !errors.Is(err, ErrNotRunning) {
			t.Errorf("no socket: got %v", err)
		}
		leaveSocket(t, gone)
		if err := Call(t.Context(), gone, "hello", nil); !errors.Is(err, ErrNotRunning) {
			t.Errorf("a socket of a killed server: got %v", err)
		}
	})
}

// leaveSocket leaves a socket file behind as a killed server does.
// short is a listener that fails some times, as when no file can be opened any more.
type short struct {
	net.Listener
	fails chan error
}

func (s *short) Accept() (net.Conn, error) {
	select {
	case err := <-s.fails:
		return nil, err
	default:
		return s.Listener.Accept()
	}
}

func TestTheDoorIsOpenAgainWhenThereAreFilesAgain(t *testing.T) {
	path := socketPath(t)
	listener, err := listen(path)
	if err != nil {
		t.Fatal(err)
	}
	broken := &short{listener, make(chan error, 2)}
	broken.fails <- syscall.EMFILE
	broken.fails <- syscall.EMFILE
	s := answerAt(broken, map[string]Verb{"ping": echo("pong", nil)}, slog.New(slog.DiscardHandler), func(net.Conn) error { return nil })
	defer s.Close()
	var got string
	if err := Call(t.Context(), path, "ping", &got); err != nil || got != "pong" {
		t.Errorf("%q, %v", got, err)
	}
}

func leaveSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestServe(t *testing.T) {
	t.Run("makes a socket for its own user alone and removes it at the end", func(t *testing.T) {
		path := socketPath(t)
		s := serveMe(t, path, nil)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Error("the socket is still there")
		}
	})
	t.Run("replaces the socket of a killed server", func(t *testing.T) {
		path := socketPath(t)
		leaveSocket(t, path)
		serveMe(t, path, map[string]Verb{"hello": echo(1, nil)})
		var got int
		if err := Call(t.Context(), path, "hello", &got); err != nil || got != 1 {
			t.Errorf("%d, %v", got, err)
		}
	})
	t.Run("never removes a file that is no socket", func(t *testing.T) {
		path := socketPath(t)
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Serve(path, nil, slog.New(slog.DiscardHandler)); err == nil {
			t.Error("no error")
		}
		if text, _ := os.ReadFile(path); string(text) != "precious" {
			t.Error("the file is gone")
		}
	})
	t.Run("refuses everybody but the one user", func(t *testing.T) {
		path := socketPath(t)
		s, err := serve(path, map[string]Verb{"hello": echo(1, nil)}, slog.New(slog.DiscardHandler), func(c net.Conn) error {
			return onlyUser(c, uint32(os.Geteuid())+1)
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := Call(t.Context(), path, "hello", nil); err == nil || !strings.Contains(err.Error(), "only root may") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("lets root in and nobody else", func(t *testing.T) {
		path := socketPath(t)
		s, err := Serve(path, map[string]Verb{"hello": echo(1, nil)}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var got int
		err = Call(t.Context(), path, "hello", &got)
		if root := os.Geteuid() == 0; root != (err == nil) {
			t.Errorf("root %v: %v", root, err)
		}
	})
	t.Run("ends at once under a caller who says nothing", func(t *testing.T) {
		path := socketPath(t)
		s := serveMe(t, path, nil)
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		began := time.Now()
		s.Close()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func FuzzReadRequest(f *testing.F) {
	f.Add([]byte("{\"verb\":\"genssc\"}\n"))
	f.Add([]byte("{\"verb\":\"backup\",\"args\":{\"a\":1},\"stream\":\"out\"}\n"))
	f.Add([]byte("{\"verb\":1}\n"))
	f.Add([]byte("\n"))
	f.Add([]byte("{\"verb\":\"genssc\"}"))
	f.Add(bytes.Repeat([]byte("x"), maxLine+1))
	f.Fuzz(func(t *testing.T, text []byte) {
		req, err := readRequest(bufio.NewReader(bytes.NewReader(text)))
		if err != nil {
			return
		}
		again, err := json.Marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readRequest(bufio.NewReader(bytes.NewReader(append(again, '\n')))); err != nil || got.Verb != req.Verb || got.Stream != req.Stream {
			t.Errorf("%+v became %+v, %v", req, got, err)
		}
	})
}

func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte("{\"result\":{\"code\":\"ABCD-EFGH\"}}\n"))
	f.Add([]byte("{\"error\":\"no\"}\n"))
	f.Add([]byte("{}\n"))
	f.Add([]byte("null\n"))
	f.Fuzz(func(_ *testing.T, text []byte) {
		var result struct{ Code string }
		_ = readAnswer(bufio.NewReader(bytes.NewReader(text)), &result)
	})
}
