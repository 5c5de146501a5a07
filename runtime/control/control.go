// Package control is the local door of a running server: the verbs that help an
// administrator at night (genssc today) reach it through a socket that only root may
// use. One request a connection: a line of JSON there, a line of JSON back.
//
// Linux checks the peer's user by SO_PEERCRED, whatever the file mode says; Windows
// lets only SYSTEM and Administrators open the pipe.
package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// maxLine bounds a request and an answer.
const maxLine = 64 << 10

// callTimeout bounds one request; every verb is quick.
const callTimeout = 10 * time.Second

// ErrNotRunning: no server listens at the socket.
var ErrNotRunning = errors.New("the server is not running")

// Verb answers one kind of request.
type Verb func(context.Context) (any, error)

type request struct {
	Verb string `json:"verb"`
}

type answer struct {
	Error  string          `json:"error,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
}

// Server answers requests at the socket until it is closed.
type Server struct {
	verbs    map[string]Verb
	log      *slog.Logger
	listener net.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	calls    sync.WaitGroup
	allow    func(net.Conn) error
}

// Serve opens the socket at path and answers there. A socket file that a killed server
// left behind is replaced.
func Serve(path string, verbs map[string]Verb, log *slog.Logger) (*Server, error) {
	return serve(path, verbs, log, onlyRoot)
}

func serve(path string, verbs map[string]Verb, log *slog.Logger, allow func(net.Conn) error) (*Server, error) {
	listener, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w", err)
	}
	s := &Server{verbs: verbs, log: log, listener: listener, allow: allow}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.calls.Go(s.accept)
	return s, nil
}

// Close ends the server and waits for the requests under way.
func (s *Server) Close() error {
	s.cancel()
	err := s.listener.Close()
	s.calls.Wait()
	return err
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			if s.ctx.Err() == nil {
				s.log.Error("the control socket failed", "error", err)
			}
			return
		}
		s.calls.Go(func() { s.handle(conn) })
	}
}

func (s *Server) handle(conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(s.ctx, func() { conn.SetReadDeadline(time.Now()) })
	defer stop()
	conn.SetDeadline(time.Now().Add(callTimeout))
	result, err := s.answer(conn)
	a := answer{}
	if err == nil {
		a.Result, err = json.Marshal(result)
	}
	if err != nil {
		a = answer{Error: err.Error()}
	}
	if err := json.NewEncoder(conn).Encode(a); err != nil {
		s.log.Warn("a control request was not answered", "error", err)
	}
}

func (s *Server) answer(conn net.Conn) (any, error) {
	// Read first: who is refused before the request is read may see a broken pipe
	// instead of the reason.
	req, err := readRequest(conn)
	if err != nil {
		return nil, err
	}
	if err := s.allow(conn); err != nil {
		s.log.Warn("a control request was refused", "error", err)
		return nil, err
	}
	verb, ok := s.verbs[req.Verb]
	if !ok {
		return nil, fmt.Errorf("this server does not know the request %q; it may be of another release than the program", req.Verb)
	}
	s.log.Info("control request", "verb", req.Verb)
	return verb(s.ctx)
}

func readRequest(r io.Reader) (request, error) {
	line, err := readLine(r)
	if err != nil {
		return request{}, fmt.Errorf("read the control request: %w", err)
	}
	var req request
	if err := json.Unmarshal(line, &req); err != nil {
		return request{}, fmt.Errorf("read the control request: %w", err)
	}
	return req, nil
}

func readLine(r io.Reader) ([]byte, error) {
	return bufio.NewReaderSize(io.LimitReader(r, maxLine), 512).ReadBytes('\n')
}

// Call asks the server at path and decodes its answer into result. ErrNotRunning says
// that there is none.
func Call(ctx context.Context, path, verb string, result any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := dial(ctx, path)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })
	defer stop()
	if err := json.NewEncoder(conn).Encode(request{verb}); err != nil {
		return fmt.Errorf("ask the running server: %w", err)
	}
	return readAnswer(conn, result)
}

func readAnswer(r io.Reader, result any) error {
	line, err := readLine(r)
	if err != nil {
		return fmt.Errorf("read the running server's answer: %w", err)
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return fmt.Errorf("read the running server's answer: %w", err)
	}
	if a.Error != "" {
		return fmt.Errorf("the running server: %s", a.Error)
	}
	if err := json.Unmarshal(a.Result, result); err != nil {
		return fmt.Errorf("read the running server's answer: %w", err)
	}
	return nil
}
