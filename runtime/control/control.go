// Package control is the local door of a running server: the verbs that help an
// administrator at night (genssc, reload, backup …) reach it through a socket that only
// root may use. One request a connection: a line of JSON there, a line of JSON back.
// Between the two, a verb may take or give a stream of bytes in frames (stream.go).
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

// maxLine bounds a request, maxAnswer what the server says to it, such as a list.
const (
	maxLine   = 64 << 10
	maxAnswer = 16 << 20
)

// callTimeout bounds one request without a stream; every such verb is quick.
const callTimeout = 10 * time.Second

// acceptPause is between two attempts to take a request when one has failed.
const acceptPause = 100 * time.Millisecond

// ErrNotRunning: no server listens at the socket.
var ErrNotRunning = errors.New("the server is not running")

// Verb answers one kind of request. What it returns is the answer.
type Verb func(context.Context, *Request) (any, error)

// Request is a request as its verb sees it.
type Request struct {
	// In is the stream that came with the request, Out the one that goes back before
	// the answer. Either is nil unless the caller asked for it.
	In  io.Reader
	Out io.Writer

	args json.RawMessage
}

// Args decodes the arguments of the request; a request without any leaves into as it is.
func (r *Request) Args(into any) error {
	if len(r.args) == 0 {
		return nil
	}
	if err := json.Unmarshal(r.args, into); err != nil {
		return fmt.Errorf("read the arguments of the request: %w", err)
	}
	return nil
}

// The directions of a stream.
const (
	streamIn  = "in"
	streamOut = "out"
)

// request is the line that asks.
type request struct {
	Verb   string          `json:"verb"`
	Args   json.RawMessage `json:"args,omitempty"`
	Stream string          `json:"stream,omitempty"`
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
	return answerAt(listener, verbs, log, allow), nil
}

func answerAt(listener net.Listener, verbs map[string]Verb, log *slog.Logger, allow func(net.Conn) error) *Server {
	s := &Server{verbs: verbs, log: log, listener: listener, allow: allow}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.calls.Go(s.accept)
	return s
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
		if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			if err == nil {
				conn.Close()
			}
			return
		}
		if err != nil {
			// Where users have all the files that the process may open, it passes.
			s.log.Error("a control request was not taken", "error", err)
			select {
			case <-s.ctx.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		s.calls.Go(func() { s.handle(conn) })
	}
}

func (s *Server) handle(conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(s.ctx, func() { conn.SetReadDeadline(time.Now()) })
	defer stop()
	conn.SetDeadline(time.Now().Add(callTimeout))
	reader := bufio.NewReader(conn)
	in, result, err := s.answer(conn, reader)
	a := answer{}
	if err == nil {
		a.Result, err = json.Marshal(result)
	}
	if err != nil {
		a = answer{Error: err.Error()}
	}
	conn.SetWriteDeadline(time.Now().Add(callTimeout))
	if err := json.NewEncoder(conn).Encode(a); err != nil {
		s.log.Warn("a control request was not answered", "error", err)
		return
	}
	in.discard()
}

// answer reads a request and lets its verb answer; in is its stream, nil without one.
func (s *Server) answer(conn net.Conn, reader *bufio.Reader) (in *frameReader, result any, err error) {
	// Read first: who is refused before the request is read may see a broken pipe
	// instead of the reason.
	req, err := readRequest(reader)
	if err != nil {
		return nil, nil, err
	}
	call := &Request{args: req.Args}
	if req.Stream == streamIn {
		in = &frameReader{from: reader, conn: conn, stop: s.ctx}
		call.In = in
	}
	if err := s.allow(conn); err != nil {
		s.log.Warn("a control request was refused", "error", err)
		return in, nil, err
	}
	verb, ok := s.verbs[req.Verb]
	if !ok {
		return in, nil, fmt.Errorf("this server does not know the request %q; it may be of another release than the program", req.Verb)
	}
	s.log.Info("control request", "verb", req.Verb)
	if req.Stream != streamOut {
		result, err = verb(s.ctx, call)
		return in, result, err
	}
	out := &frameWriter{conn: conn}
	call.Out = out
	result, err = verb(s.ctx, call)
	return in, result, errors.Join(err, out.end())
}

func readRequest(r *bufio.Reader) (request, error) {
	line, err := readLine(r, maxLine)
	if err != nil {
		return request{}, fmt.Errorf("read the control request: %w", err)
	}
	var req request
	if err := json.Unmarshal(line, &req); err != nil {
		return request{}, fmt.Errorf("read the control request: %w", err)
	}
	return req, nil
}

// readLine reads a line of at most so many bytes and nothing behind it.
func readLine(r *bufio.Reader, most int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if line = append(line, part...); len(line) > most {
			return nil, fmt.Errorf("a line of more than %d bytes", most)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// Call asks the server at path and decodes its answer into result. ErrNotRunning says
// that there is none.
func Call(ctx context.Context, path, verb string, result any) error {
	return Ask(ctx, path, Question{Verb: verb}, result)
}

// Question is a request as its caller sees it.
type Question struct {
	Verb string
	// Args, unless nil, go along as JSON.
	Args any
	// In, unless nil, is sent as the request's stream; Out, unless nil, gets the stream
	// that comes back. At most one of them.
	In  io.Reader
	Out io.Writer
}

// Ask asks the server at path and decodes its answer into result. A question without a
// stream is answered within 10 seconds or fails; one with a stream may take as long as
// ctx allows.
func Ask(ctx context.Context, path string, q Question, result any) error {
	req, err := q.request()
	if err != nil {
		return err
	}
	if req.Stream == "" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTimeout)
		defer cancel()
	}
	conn, err := dial(ctx, path)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })
	defer stop()
	if err := json.NewEncoder(conn).Encode(req); err != nil {
		return fmt.Errorf("ask the running server: %w", err)
	}
	reader := bufio.NewReader(conn)
	switch req.Stream {
	case streamIn:
		return sendStream(conn, reader, q.In, result)
	case streamOut:
		if err := receiveStream(reader, q.Out); err != nil {
			return err
		}
	}
	return readAnswer(reader, result)
}

func (q Question) request() (request, error) {
	req := request{Verb: q.Verb}
	switch {
	case q.In != nil && q.Out != nil:
		return req, errors.New("a control request has one stream at most")
	case q.In != nil:
		req.Stream = streamIn
	case q.Out != nil:
		req.Stream = streamOut
	}
	if q.Args == nil {
		return req, nil
	}
	var err error
	req.Args, err = json.Marshal(q.Args)
	return req, err
}

func readAnswer(r *bufio.Reader, result any) error {
	line, err := readLine(r, maxAnswer)
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
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(a.Result, result); err != nil {
		return fmt.Errorf("read the running server's answer: %w", err)
	}
	return nil
}
