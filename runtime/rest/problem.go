package rest

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/sites"
)

// problemType is the sort of a problem; programs compare it, so it never changes.
type problemType string

const typePrefix = "urn:ss-server:problem:"

// The sorts of problems.
const (
	badRequest      problemType = "bad-request"
	invalid         problemType = "invalid"
	unauthenticated problemType = "unauthenticated"
	codeRequired    problemType = "code-required"
	mustChange      problemType = "password-must-change"
	proofRequired   problemType = "proof-required"
	forbidden       problemType = "forbidden"
	crossOrigin     problemType = "cross-origin"
	notFound        problemType = "not-found"
	badMethod       problemType = "method-not-allowed"
	exists          problemType = "exists"
	referenced      problemType = "referenced"
	conflict        problemType = "conflict"
	noRevision      problemType = "revision-required"
	tooLarge        problemType = "too-large"
	badMedia        problemType = "media-type"
	tooMany         problemType = "too-many-requests"
	tooOld          problemType = "too-old"
	failed          problemType = "failed"
	unavailable     problemType = "unavailable"
)

// problems say of each sort its status and title; docs/api.md is held against it.
var problems = map[problemType]struct {
	status int
	title  string
}{
	badRequest:      {http.StatusBadRequest, "The request cannot be read"},
	invalid:         {http.StatusUnprocessableEntity, "The values are not valid"},
	unauthenticated: {http.StatusUnauthorized, "Sign in first"},
	codeRequired:    {http.StatusUnauthorized, "The code of the authenticator app is missing"},
	mustChange:      {http.StatusForbidden, "Choose another password first"},
	proofRequired:   {http.StatusForbidden, "Show that it is you"},
	forbidden:       {http.StatusForbidden, "Not allowed"},
	crossOrigin:     {http.StatusForbidden, "Sent by another site's page"},
	notFound:        {http.StatusNotFound, "Not there"},
	badMethod:       {http.StatusMethodNotAllowed, "Not possible there"},
	exists:          {http.StatusConflict, "There already"},
	referenced:      {http.StatusConflict, "In use"},
	conflict:        {http.StatusPreconditionFailed, "Changed by somebody else"},
	noRevision:      {http.StatusPreconditionRequired, "The revision is missing"},
	tooLarge:        {http.StatusRequestEntityTooLarge, "Too large"},
	badMedia:        {http.StatusUnsupportedMediaType, "Not in a form that is read here"},
	tooMany:         {http.StatusTooManyRequests, "Too many requests"},
	tooOld:          {http.StatusGone, "No longer kept"},
	failed:          {http.StatusInternalServerError, "The server failed"},
	unavailable:     {http.StatusServiceUnavailable, "Not possible now"},
}

// Problem is why a request was refused, after RFC 9457.
type Problem struct {
	Type   string `json:"type" doc:"The sort of problem, for programs to compare."`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty" doc:"What is wrong and what to do, for people."`
	// Errors are the fields that are wrong.
	Errors []model.FieldError `json:"errors,omitempty" doc:"The fields that are wrong, each with its cure."`
	// Conflict tells what somebody else changed.
	Conflict *Conflict `json:"conflict,omitempty" doc:"What somebody else made of the object meanwhile."`
	// UsedBy are the objects that need the one that was to be deleted.
	UsedBy *UsedBy `json:"usedBy,omitempty" doc:"The objects that need the one that was to be deleted."`

	wait   time.Duration
	header http.Header
}

// Conflict is the state of an object that somebody else has changed.
type Conflict struct {
	Rev         uint64             `json:"rev" doc:"The revision to read and change now."`
	By          string             `json:"by"`
	Modified    time.Time          `json:"modified"`
	Differences []model.Difference `json:"differences,omitempty" doc:"Between the object as it is now and as it was sent; secrets only say that they differ."`
}

// UsedBy is what needs an object.
type UsedBy struct {
	Count int         `json:"count"`
	First []model.Key `json:"first,omitempty" doc:"The first few, as KIND/SITE/ID, of those that the caller may see."`
}

func problem(t problemType, format string, args ...any) *Problem {
	p := problems[t]
	return &Problem{Type: typePrefix + string(t), Title: p.title, Status: p.status, Detail: fmt.Sprintf(format, args...)}
}

// wrongField is a problem with one field.
func wrongField(field, what, cure string) *Problem {
	return wrongFields([]model.FieldError{{Field: field, Problem: what, Cure: cure}})
}

func wrongFields(list []model.FieldError) *Problem {
	texts := make([]string, len(list))
	for i, f := range list {
		texts[i] = f.Field + ": " + f.Problem + "; " + f.Cure
	}
	p := problem(invalid, "%s", strings.Join(texts, ". "))
	p.Errors = list
	return p
}

// later is a problem that waiting cures.
func later(t problemType, wait time.Duration, format string, args ...any) *Problem {
	p := problem(t, format, args...)
	p.wait = max(wait, time.Second)
	return p
}

// Error is the detail.
func (p *Problem) Error() string { return p.Detail }

// Sort is the last part of Type, as "conflict"; docs/api.md lists them.
func (p *Problem) Sort() string { return strings.TrimPrefix(p.Type, typePrefix) }

// GetStatus makes it huma's error.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is that of RFC 9457.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders are Retry-After where waiting helps, and what the problem brings along.
func (p *Problem) GetHeaders() http.Header {
	h := p.header.Clone()
	if h == nil {
		h = http.Header{}
	}
	if p.wait > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.wait.Seconds()))))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="ss-server"`)
	}
	return h
}

// problemOf turns an error of the write path, or of anything below, into a problem for
// the caller, who may not see every object that the error knows of.
func problemOf(c *caller, err error, log *slog.Logger) error {
	var (
		ready      *Problem
		wrong      *model.InvalidError
		quicker    *engine.ConflictError
		needed     *engine.ReferencedError
		missing    *engine.NotFoundError
		duplicated *engine.ExistsError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ready):
		return ready
	case errors.As(err, &wrong):
		return wrongFields(forCaller(c, wrong.Errors))
	case errors.As(err, &quicker):
		p := problem(conflict, "%s", quicker.Error())
		p.Conflict = &Conflict{Rev: quicker.Rev, By: quicker.By, Modified: quicker.Modified, Differences: quicker.Differences}
		return p
	case errors.As(err, &needed):
		return usedProblem(c, needed)
	case errors.As(err, &missing):
		return problem(notFound, "%s", missing.Error())
	case errors.As(err, &duplicated):
		return problem(exists, "%s", duplicated.Error())
	case errors.Is(err, engine.ErrTooOld):
		return problem(tooOld, "%v; read the lists anew and go on from the number that they tell", err)
	case errors.Is(err, auth.ErrBusy):
		return later(unavailable, time.Second, "too many passwords are being computed at once; repeat the request")
	case errors.Is(err, sites.ErrNoSite):
		return later(unavailable, 5*time.Second, "this node does not run the site now: %v", err)
	}
	log.Error("a request failed", "by", c.name(), "error", err)
	return problem(failed, "the server could not do it; its log says why")
}

// forCaller leaves out the other objects that the caller may not see.
func forCaller(c *caller, list []model.FieldError) []model.FieldError {
	out := make([]model.FieldError, len(list))
	for i, f := range list {
		if f.Other != nil && !c.mayView(*f.Other) {
			f.Other = nil
		}
		out[i] = f
	}
	return out
}

func usedProblem(c *caller, e *engine.ReferencedError) *Problem {
	used := &UsedBy{Count: e.Count}
	for _, k := range e.First {
		if c.mayView(k) {
			used.First = append(used.First, k)
		}
	}
	p := problem(referenced, "%s is used by %d others; change or delete these first", model.Describe(e.Key), e.Count)
	p.UsedBy = used
	return p
}

// plainer gives huma's own refusals our form. Values stay out of it: they may be secrets.
func plainer(_ huma.Context, _ string, v any) (any, error) {
	e, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	sort := badRequest
	switch e.Status {
	case http.StatusUnprocessableEntity:
		sort = invalid
	case http.StatusRequestEntityTooLarge:
		sort = tooLarge
	case http.StatusInternalServerError:
		sort = failed
	}
	p := problem(sort, "%s", e.Detail)
	p.Status = e.Status
	for _, d := range e.Errors {
		if d == nil {
			continue
		}
		p.Errors = append(p.Errors, model.FieldError{
			Field: strings.TrimPrefix(d.Location, "body."), Problem: d.Message, Cure: "the document at " + DocumentPath + " tells what is read here",
		})
	}
	return p, nil
}
