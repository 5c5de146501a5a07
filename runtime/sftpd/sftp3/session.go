package sftp3

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"ss-setup/runtime/vfs"
)

const (
	// maxRequest bounds a request that carries no file data; two names of the longest
	// are far below it.
	maxRequest = 36 << 10
	// DefaultHandles is how many files and folders a session may have open.
	DefaultHandles = 1024
)

// Options are what a session needs besides its files.
type Options struct {
	// Owner is the name that listings show as owner and group.
	Owner string
	// MaxHandles bounds files and folders open at a time; 0 is DefaultHandles.
	MaxHandles int
	// Buffers are shared by all sessions of a server. Nil makes some.
	Buffers *Buffers
	// Observe, if not nil, is told of every change, every transfer and every failure.
	Observe func(Event)
	// Now is the clock; nil is that of the machine.
	Now func() time.Time
}

// Event is something that a client did or could not do.
type Event struct {
	// Op is the request in lower case, such as "rename"; for a file that was closed
	// "download", "upload" or "update", if read, written or both.
	Op string
	// Name is what it was done to, To the new name of a rename or the target of a link.
	Name, To      string
	Read, Written int64
	Took          time.Duration
	// Interrupted is a file that the client left open when it went away.
	Interrupted bool
	Err         error
}

// ErrProtocol is in every error of [Session.Serve] that the client is to blame for.
var ErrProtocol = errors.New("the client breaks the protocol")

// Session serves one client. Serve runs it; Transfers and Running may be called at any
// time.
type Session struct {
	fs      vfs.FS
	options Options
	in      reader
	out     io.Writer
	reply   reply
	ctx     context.Context
	ahead   *fetched // the data of the request that comes next, or nil

	running atomic.Bool

	mu      sync.Mutex
	handles map[uint32]*handle
	last    uint32
}

// New makes a session on fs.
func New(fs vfs.FS, o Options) *Session {
	if o.MaxHandles == 0 {
		o.MaxHandles = DefaultHandles
	}
	if o.Buffers == nil {
		o.Buffers = NewBuffers(maxPacket)
	}
	if o.Observe == nil {
		o.Observe = func(Event) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Session{fs: fs, options: o, handles: map[uint32]*handle{}}
}

// Running tells whether Serve is.
func (s *Session) Running() bool { return s.running.Load() }

// Serve answers requests until the client ends the stream, which is no error, or
// breaks the protocol, or ctx ends between two of them. Whoever wants it to end at
// once closes the stream. Files left open are interrupted.
func (s *Session) Serve(ctx context.Context, stream io.ReadWriter) (err error) {
	s.ctx, s.out = ctx, stream
	s.running.Store(true)
	defer s.running.Store(false)
	s.in = reader{src: stream, buffers: s.options.Buffers}
	s.in.release()
	defer s.in.release()
	defer s.interruptAll()
	defer s.dropAhead()
	if err := s.greet(); err != nil {
		return ended(err)
	}
	for ctx.Err() == nil {
		if err := s.serveOne(); err != nil {
			return ended(err)
		}
	}
	return context.Cause(ctx)
}

func ended(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// greet expects the first packet of a client and announces what there is.
func (s *Session) greet() error {
	kind, length, err := s.header()
	if err != nil {
		return err
	}
	if kind != typeInit || length < 4 {
		return fmt.Errorf("%w: it began with a packet of type %d", ErrProtocol, kind)
	}
	if _, err := s.body(length); err != nil {
		return err
	}
	r := &s.reply
	r.start(typeVersion, protocolVersion)
	for _, e := range extensions {
		r.string(e.name)
		r.string(e.version)
	}
	return s.send()
}

// header takes length and type of the next packet. length is what follows.
func (s *Session) header() (kind byte, length int, err error) {
	head, err := s.in.peek(5)
	if err != nil {
		return 0, 0, err
	}
	total := binary.BigEndian.Uint32(head)
	kind = head[4]
	s.in.take(5)
	if total == 0 || total > maxPacket {
		return 0, 0, fmt.Errorf("%w: a packet of %d bytes", ErrProtocol, total)
	}
	return kind, int(total) - 1, nil
}

// body takes the rest of a packet. It is valid until the next read.
func (s *Session) body(length int) ([]byte, error) {
	if length > maxRequest {
		return nil, fmt.Errorf("%w: a request of %d bytes", ErrProtocol, length)
	}
	b, err := s.in.peek(length)
	if err != nil {
		return nil, cut(err)
	}
	s.in.take(length)
	return b, nil
}

// cut is the error of a stream that ends inside a packet.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (s *Session) serveOne() error {
	kind, length, err := s.header()
	if err != nil {
		return err
	}
	if kind == typeWrite {
		return s.write(length)
	}
	body, err := s.body(length)
	if err != nil {
		return err
	}
	f := &fields{rest: body}
	id := f.uint32()
	if f.err != nil || kind == typeInit {
		return fmt.Errorf("%w: a packet of type %d with %d bytes", ErrProtocol, kind, length)
	}
	serve, known := requests[kind]
	if !known {
		return s.status(id, errors.ErrUnsupported)
	}
	return s.finish(id, kind, f, serve(s, id, f))
}

// finish answers a request whose function left that to it. A packet that could not be
// read ends the session: what follows it cannot be trusted either.
func (s *Session) finish(id uint32, kind byte, f *fields, err error) error {
	switch {
	case err == errAnswered:
		return s.send()
	case err == errSent:
		return nil
	case errors.As(err, new(*gone)):
		return err
	case f.err != nil:
		s.badMessage(id)
		return fmt.Errorf("%w: packet of type %d: %w", ErrProtocol, kind, f.err)
	}
	return s.status(id, err)
}

// errAnswered is returned by a request that has put its answer into s.reply.
var errAnswered = errors.New("answered")

func (s *Session) badMessage(id uint32) {
	s.statusText(id, statusBadMessage, errShort.Error())
	_ = s.send() // the session ends either way
}

func (s *Session) status(id uint32, err error) error {
	code, text := status(err)
	s.statusText(id, code, text)
	return s.send()
}

func (s *Session) statusText(id, code uint32, text string) {
	s.reply.start(typeStatus, id)
	s.reply.uint32(code)
	s.reply.string(text)
	s.reply.string("en")
}

// keptReply is the largest buffer that a waiting session keeps for its next answer.
const keptReply = 1 << 10

func (s *Session) send() error {
	_, err := s.out.Write(s.reply.finish())
	if cap(s.reply.b) > keptReply {
		s.reply.b = nil
	}
	return err
}

// observe tells of what was tried; err decides whether it was done. It returns err.
func (s *Session) observe(op string, name vfs.Path, to string, err error) error {
	s.options.Observe(Event{Op: op, Name: name.String(), To: to, Err: err})
	return err
}

// failed tells of what only reads, and so is worth telling only if it failed.
func (s *Session) failed(op string, name vfs.Path, err error) error {
	if err != nil && err != errAnswered && !errors.Is(err, io.EOF) {
		s.options.Observe(Event{Op: op, Name: name.String(), Err: err})
	}
	return err
}

// LogValue implements slog.LogValuer.
func (e Event) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("op", e.Op), slog.String("name", e.Name)}
	if e.To != "" {
		attrs = append(attrs, slog.String("to", e.To))
	}
	if e.Read > 0 {
		attrs = append(attrs, slog.Int64("read", e.Read))
	}
	if e.Written > 0 {
		attrs = append(attrs, slog.Int64("written", e.Written))
	}
	if e.Took > 0 {
		attrs = append(attrs, slog.Duration("took", e.Took))
	}
	if e.Interrupted {
		attrs = append(attrs, slog.Bool("interrupted", true))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	return slog.GroupValue(attrs...)
}
