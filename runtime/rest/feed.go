package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
)

// Change is one entry of the feed: of each object the last change only.
type Change struct {
	Seq    uint64    `json:"seq"`
	Object model.Key `json:"object" doc:"KIND/SITE/ID, or KIND/ID for what belongs to no site."`
	Op     string    `json:"op" enum:"create,update,delete"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

// Changes is a part of the feed.
type Changes struct {
	Items []Change `json:"items" nullable:"false"`
	// Seq is what to ask since next time; More tells that there is more at once.
	Seq  uint64 `json:"seq" doc:"What to send as since next time."`
	More bool   `json:"more"`
}

// ChangesOut is Changes as an answer.
type ChangesOut struct{ Body *Changes }

// ChangesQuery says which changes.
type ChangesQuery struct {
	Since uint64 `query:"since" doc:"The number of the last change that the caller knows."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// StreamQuery says where a stream begins.
type StreamQuery struct {
	Since       uint64 `query:"since" doc:"The number of the last change that the caller knows; from now on if it is left out."`
	LastEventID string `header:"Last-Event-ID" maxLength:"20" doc:"What a browser sends that connects again; before since."`
}

// StreamOut writes the stream.
type StreamOut struct{ Body func(huma.Context) }

// maxScanned bounds the changes that one request looks at, whoever may see them.
const maxScanned = 10_000

// What bounds streams: how many there may be, in all and of one caller, and how often a quiet
// one says that it is there. How long a client may take to read is the server's to say: a deadline
// that is not taken back ends a quiet stream over HTTP/2.
const (
	maxStreams   = 500
	ownStreams   = 10
	streamBeat   = 20 * time.Second
	streamAtOnce = 500
)

func (a *API) registerFeed() {
	operate(a, operation{
		method: http.MethodGet, path: "/changes", id: "list-changes", tag: "changes", summary: "Tell what changed since a number",
		help: "Only objects that the caller may see. 410 says that the log does not reach back so far: read the lists anew.",
		out:  reflect.TypeFor[Changes](), problems: []problemType{tooOld},
	}, func(_ context.Context, c *caller, in *ChangesQuery) (*ChangesOut, error) {
		out, err := a.changes(c, in.Since, in.Limit)
		return &ChangesOut{Body: out}, err
	})
	operate(a, operation{
		method: http.MethodGet, path: "/changes/stream", id: "stream-changes", tag: "changes", summary: "Tell of changes as they happen",
		help: "Server-sent events: change with an entry of the feed as JSON and its number as id; reset when the log does not reach back so far. " +
			"It ends with the session or token.",
		stream: true, problems: []problemType{tooOld},
	}, a.stream)
}

// changes gives what a caller may see of the feed.
func (a *API) changes(c *caller, since uint64, limit int) (*Changes, error) {
	out := &Changes{Items: []Change{}, Seq: since}
	err := a.Engine.Read(func(r *engine.Reader) error {
		scanned := 0
		for change, err := range r.Changes(since) {
			if err != nil {
				return err
			}
			if len(out.Items) == limit || scanned == maxScanned {
				out.More = true
				return nil
			}
			scanned++
			out.Seq = change.Seq
			if c.mayView(change.Key) {
				out.Items = append(out.Items, Change{Seq: change.Seq, Object: change.Key, Op: string(change.Op), By: change.By, At: change.At})
			}
		}
		// Numbers of changes that later ones took the place of.
		out.Seq = max(out.Seq, r.Seq())
		return nil
	})
	return out, err
}

func (a *API) stream(_ context.Context, c *caller, in *StreamQuery) (*StreamOut, error) {
	since := in.Since
	if since == 0 {
		since = a.Engine.Seq()
	}
	if in.LastEventID != "" {
		n, err := strconv.ParseUint(in.LastEventID, 10, 64)
		if err != nil {
			return nil, wrongField("Last-Event-ID", "it is no number of a change", "leave it out")
		}
		since = n
	}
	if err := a.streams.enter(c.name()); err != nil {
		return nil, err
	}
	return &StreamOut{Body: func(ctx huma.Context) {
		defer a.streams.leave(c.name())
		r, w := humago.Unwrap(ctx)
		h := w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("X-Accel-Buffering", "no")
		w.WriteHeader(http.StatusOK)
		s := &stream{api: a, request: r, out: w, control: http.NewResponseController(w), caller: c, since: since}
		if err := s.run(); err != nil {
			a.Log.Debug("a stream of changes ended", "by", c.name(), "error", err)
		}
	}}, nil
}

// streams counts those that are open.
type streams struct {
	mu   sync.Mutex
	all  int
	each map[string]int
}

func (s *streams) enter(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxStreams || s.each[name] >= ownStreams {
		return later(tooMany, streamBeat, "too many streams are open; close one")
	}
	s.all++
	s.each[name]++
	return nil
}

func (s *streams) leave(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.each[name]--; s.each[name] == 0 {
		delete(s.each, name)
	}
}

// stream tells one client of changes.
type stream struct {
	api     *API
	request *http.Request
	out     http.ResponseWriter
	control *http.ResponseController
	caller  *caller
	since   uint64
}

// run goes on until the client, the caller's right or the server ends it. Changes are read
// from the log when there are news, so a slow client holds nothing up and misses nothing.
func (s *stream) run() error {
	beat := time.NewTicker(streamBeat)
	defer beat.Stop()
	if err := s.write(": here\n\n"); err != nil {
		return err
	}
	for {
		news := s.api.feed.next()
		if err := s.tell(); err != nil {
			return err
		}
		select {
		case <-news:
		case <-beat.C:
			if err := s.write(": here\n\n"); err != nil {
				return err
			}
		case <-s.request.Context().Done():
			return nil
		case <-s.api.ended:
			return nil
		}
		// Rights, token or session may be gone meanwhile.
		c, err := s.api.stillThere(s.request, s.caller)
		if err != nil {
			return err
		}
		s.caller = c
	}
}

// tell writes what changed since the last time.
func (s *stream) tell() error {
	for {
		part, err := s.api.changes(s.caller, s.since, streamAtOnce)
		if err != nil {
			_ = s.write("event: reset\ndata: {}\n\n")
			return err
		}
		for _, change := range part.Items {
			text, err := json.Marshal(change)
			if err != nil {
				return err
			}
			if err := s.write(fmt.Sprintf("id: %d\nevent: change\ndata: %s\n\n", change.Seq, text)); err != nil {
				return err
			}
		}
		s.since = part.Seq
		if !part.More {
			return nil
		}
	}
}

func (s *stream) write(text string) error {
	if _, err := s.out.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}

// stillThere is the caller as he is now. It does not count as a use of his session.
func (a *API) stillThere(r *http.Request, c *caller) (*caller, error) {
	settings, err := a.settings()
	if err != nil {
		return nil, err
	}
	if err := a.letIn(c.from); err != nil {
		return nil, err
	}
	if c.session == nil {
		return a.identify(r, c.from, settings)
	}
	if !a.sessions.running(c.session, idleOf(settings)) {
		return nil, errSession()
	}
	now, err := a.sessionCaller(r, c.session, c.from)
	if err == nil && now.mustChange {
		return nil, problem(mustChange, "the password must be changed first")
	}
	return now, err
}

// signal tells many that something happened.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

func newSignal() *signal { return &signal{ch: make(chan struct{})} }

// next is closed when it happens the next time.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ch
}

func (s *signal) raise() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.ch)
	s.ch = make(chan struct{})
}
