package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/hostkey"
	"ss-setup/runtime/model"
	"ss-setup/runtime/protector"
	"ss-setup/runtime/sftpd"
	"ss-setup/runtime/sites"
)

// Prefix is where the interface is served; DocumentPath is its OpenAPI document.
const (
	Prefix       = "/api/v1"
	DocumentPath = Prefix + "/openapi.json"
)

// maxBody bounds what a request may send: a certificate with its chain is the largest.
const maxBody = 512 << 10

// Sites are the sites of this node as they run; *sites.Manager is what has them.
type Sites interface {
	Status() []sites.SiteStatus
	StartSite(name string) error
	// StopSite lets transfers end for as long as ctx lasts.
	StopSite(ctx context.Context, name string) error
	Sessions(site string) []sftpd.Session
	Kick(site, reason string, which func(sftpd.Session) bool) (int, error)
	Needs(site string) ([]sftpd.Need, error)
	// MakeVFS makes the place of a VFS, as the account of the service: its folder and, for
	// an encrypted one, its key, which it names in v. Its errors name folder and cure.
	MakeVFS(v *model.VFS) error
}

// Protector decides about addresses.
type Protector interface {
	// Admit is asked for every request; an error refuses it.
	Admit(addr netip.Addr) error
	// Offend tells of a log-in that was refused.
	Offend(addr netip.Addr, o protector.Offence) bool
}

// Auditor keeps what was done.
type Auditor interface{ Append(e audit.Event) }

// AuditReader reads what was kept; *audit.Log is what does.
type AuditReader interface {
	Newest(ctx context.Context, filter audit.Filter) ([]audit.Event, error)
}

// Options are what the interface works with.
type Options struct {
	Engine *engine.Engine
	Hasher *auth.Hasher
	// Sites, Protector and Audit may be nil: then nothing runs and no VFS can be made,
	// nobody is refused, nothing is kept.
	Sites     Sites
	Protector Protector
	Audit     Auditor
	// Events reads the audit log; nil where there is none to read.
	Events AuditReader
	// Files is the folder below which each site has one of its own name; an Admin's VFS
	// lies in that of its site.
	Files string
	// KnownKeys are host keys that must not be used as others have them, too.
	KnownKeys *hostkey.Denylist
	Log       *slog.Logger
	Now       func() time.Time // nil is the machine's clock
}

// API is the interface. Its methods may be called at once.
type API struct {
	Options
	accounts administrators
	sessions *sessions
	limits   *buckets
	origin   *http.CrossOriginProtection
	mux      *http.ServeMux
	huma     huma.API
	// document is made when it is first asked for.
	document func() *document
	feed     *signal
	streams  streams
	stop     func()
	stopped  sync.Once
	ended    chan struct{}
	auditing chan struct{}
	// reading bounds how many read the audit log at once.
	reading chan struct{}
	// draining are the stops of sites that go on after their answer.
	draining sync.WaitGroup
}

// New makes the interface.
func New(o Options) *API {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &API{
		Options: o, accounts: administrators{o.Engine, o.Now}, sessions: newSessions(o.Now), limits: newBuckets(o.Now),
		origin: http.NewCrossOriginProtection(), mux: http.NewServeMux(), feed: newSignal(), ended: make(chan struct{}),
		auditing: make(chan struct{}, 1), reading: make(chan struct{}, 2),
	}
	a.streams.each = map[string]int{}
	a.huma = humago.New(a.mux, config())
	a.huma.UseMiddleware(a.enter)
	a.register()
	a.describe()
	a.document = sync.OnceValue(a.write)
	a.mux.HandleFunc("GET "+DocumentPath, a.serveDocument)
	a.mux.HandleFunc("/", a.nowhere)
	a.stop = o.Engine.Listen(func(context.Context, []engine.Change) { a.feed.raise() })
	return a
}

// ServeHTTP answers what is below Prefix.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// EndStreams ends the streams of live changes, and lets no other begin: it comes before
// the HTTP server waits for its requests.
func (a *API) EndStreams() { a.stopped.Do(func() { close(a.ended) }) }

// Close ends what runs by itself, when the HTTP server has ended.
func (a *API) Close() error {
	a.EndStreams()
	a.draining.Wait()
	a.stop()
	return nil
}

// config is huma without what it brings along: no pages that load scripts from elsewhere,
// no links to schemas in answers, no other format than JSON.
func config() huma.Config {
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "SS Server", Version: "1",
				Description: "Everything that the server keeps and runs. Objects carry their revision as ETag; " +
					"who changes one names it in If-Match. Refusals are problems of RFC 9457.",
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"token":   {Type: "http", Scheme: "bearer", Description: "A token made by a SuperAdmin, or by `ss-server token add`."},
					"session": {Type: "apiKey", In: "cookie", Name: SessionCookie, Description: "What a log-in set; for web pages."},
				},
			},
			Security: []map[string][]string{{"token": {}}, {"session": {}}},
		},
		Formats:                      map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{plainer},
	}
}

// open marks the operations that need no caller: the ways in.
const openToAll = "openToAll"

// enter is what every request goes through before its operation.
func (a *API) enter(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	free := ctx.Operation().Metadata[openToAll] == true
	c, err := a.admit(r, free)
	if err != nil {
		a.refuse(ctx, err)
		return
	}
	if accepts, _ := ctx.Operation().Metadata[acceptsKey].([]string); accepts != nil {
		if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || !slices.Contains(accepts, media) {
			a.refuse(ctx, problem(badMedia, "send the body with Content-Type: %s", accepts[0]))
			return
		}
	}
	next(huma.WithValue(ctx, callerKey{}, c))
}

// refuse answers with a problem before there is an operation to do it.
func (a *API) refuse(ctx huma.Context, err error) {
	r, w := humago.Unwrap(ctx)
	a.writeProblem(w, r, err)
}

func (a *API) writeProblem(w http.ResponseWriter, _ *http.Request, err error) {
	var p *Problem
	if !errors.As(err, &p) {
		errors.As(problemOf(nil, err, a.Log), &p)
	}
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	if err := json.NewEncoder(w).Encode(p); err != nil {
		a.Log.Debug("a refusal was not delivered", "error", err)
	}
}

// nowhere answers what no operation is for: the wrong path, or the wrong method on it.
func (a *API) nowhere(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := a.mux.Handler(other); pattern != "/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		a.writeProblem(w, r, problem(notFound, "there is nothing at this address; %s lists what there is", DocumentPath))
		return
	}
	p := problem(badMethod, "%s is not possible there; use one of %v", r.Method, allowed)
	p.header = http.Header{"Allow": {fmt.Sprint(joined(allowed))}}
	a.writeProblem(w, r, p)
}

// tell puts something into the audit log.
func (a *API) tell(c *caller, e audit.Event) {
	if a.Audit == nil {
		return
	}
	if c != nil {
		if e.By == "" {
			e.By = c.name()
		}
		if e.From == "" && c.from.IsValid() {
			e.From = c.from.String()
		}
	}
	a.Audit.Append(e)
}
