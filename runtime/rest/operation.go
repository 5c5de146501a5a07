package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/model"
)

// operation is what is told of one, beside the types of its parameters.
type operation struct {
	method, path string
	id           string // of the operation, for clients that are generated
	tag          string
	summary      string
	help         string
	// in and out are the bodies, nil for none; patch takes in as a merge patch.
	in, out reflect.Type
	patch   bool
	status  int
	// problems are those beside the ones that every operation can have.
	problems []problemType
	// free needs no caller; evenThen is possible when the password must be changed.
	free, evenThen bool
	// stream answers with events and not with JSON.
	stream bool
}

// everywhere are the problems that every operation can have.
var everywhere = []problemType{badRequest, unauthenticated, forbidden, invalid, tooMany, failed, unavailable}

// acceptsKey is where an operation keeps the media types that it reads.
const acceptsKey = "accepts"

const (
	jsonType  = "application/json"
	patchType = "application/merge-patch+json"
)

// operate makes an operation of a function. O is what huma writes: headers and Body.
func operate[I, O any](a *API, o operation, fn func(context.Context, *caller, *I) (*O, error)) {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	op := huma.Operation{
		Method: o.method, Path: Prefix + o.path, OperationID: o.id, Tags: []string{o.tag}, Summary: o.summary, Description: o.help,
		DefaultStatus: o.status, MaxBodyBytes: maxBody, BodyReadTimeout: 15 * time.Second,
		Responses: a.responses(o), Metadata: map[string]any{openToAll: o.free},
	}
	if o.free {
		op.Security = []map[string][]string{}
	}
	content := a.bodies(o)
	if len(content) > 0 {
		var accepts []string
		for media := range content {
			accepts = append(accepts, media)
		}
		slices.Sort(accepts)
		op.Metadata[acceptsKey] = accepts
	}
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		c := callerOf(ctx)
		return perform(a, c, o.id, o.evenThen, func() (*O, error) { return fn(ctx, c, in) })
	})
	if len(content) > 0 {
		a.documented(o).RequestBody.Content = content
	}
}

// perform does an operation for a caller, whether REST or a page asks for it.
func perform[O any](a *API, c *caller, id string, evenThen bool, fn func() (O, error)) (out O, err error) {
	if c.mustChange && !evenThen {
		return out, problem(mustChange, "set another password at %s/me/password; until then nothing else is possible", Prefix)
	}
	if out, err = fn(); err != nil {
		err = problemOf(c, err, a.Log)
		a.tellRefusal(c, id, err)
		var none O
		return none, err
	}
	return out, nil
}

// tellRefusal keeps in the audit log what a caller was refused for the lack of a right.
func (a *API) tellRefusal(c *caller, id string, err error) {
	var p *Problem
	if errors.As(err, &p) && p.Type == typePrefix+string(forbidden) && c.key.ID != "" &&
		a.limits.take("refusal/"+c.name(), 30, 60) == 0 {
		a.tell(c, audit.Event{Event: "api.forbidden", Outcome: audit.Refused, Message: id + ": " + p.Detail})
	}
}

// documented is the operation in the document.
func (a *API) documented(o operation) *huma.Operation {
	item := a.huma.OpenAPI().Paths[Prefix+o.path]
	return map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put,
		http.MethodPatch: item.Patch, http.MethodDelete: item.Delete,
	}[o.method]
}

func (a *API) schema(t reflect.Type) *huma.Schema {
	return a.huma.OpenAPI().Components.Schemas.Schema(t, true, "")
}

func (a *API) bodies(o operation) map[string]*huma.MediaType {
	if o.in == nil {
		return nil
	}
	media := &huma.MediaType{Schema: a.schema(o.in)}
	if !o.patch {
		return map[string]*huma.MediaType{jsonType: media}
	}
	// A patch takes fields away with null, and needs none: the schema is that of the
	// whole, as RFC 7396 has no other way to say it.
	media = &huma.MediaType{Schema: &huma.Schema{
		Type: huma.TypeObject, Description: "A merge patch (RFC 7396) of the object: fields that stay may be left out, null takes one away.",
	}}
	return map[string]*huma.MediaType{jsonType: media, patchType: media}
}

func (a *API) responses(o operation) map[string]*huma.Response {
	all := map[string]*huma.Response{}
	good := &huma.Response{Description: http.StatusText(o.status)}
	switch {
	case o.stream:
		good.Content = map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}}
	case o.out != nil:
		good.Content = map[string]*huma.MediaType{jsonType: {Schema: a.schema(o.out)}}
	}
	all[strconv.Itoa(o.status)] = good
	refusal := map[string]*huma.MediaType{"application/problem+json": {Schema: a.schema(reflect.TypeFor[Problem]())}}
	list := append(slices.Clone(everywhere), o.problems...)
	if o.in != nil {
		list = append(list, tooLarge, badMedia)
	}
	byStatus := map[string][]string{}
	for _, t := range list {
		status := strconv.Itoa(problems[t].status)
		if !slices.Contains(byStatus[status], string(t)) {
			byStatus[status] = append(byStatus[status], string(t))
		}
	}
	for status, types := range byStatus {
		slices.Sort(types)
		all[status] = &huma.Response{Description: "Problem: " + strings.Join(types, ", "), Content: refusal}
	}
	return all
}

// Raw is a body as it was sent; its operation says what it must be.
type Raw struct{ RawBody []byte }

// read decodes a body into v, whose schema it must fit. Whatever does not is told at once,
// each with its field; nothing that was sent is repeated.
func (a *API) read(raw []byte, v any) error {
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return problem(badRequest, "the body is not JSON: %v", plainJSON(err))
	}
	registry := a.huma.OpenAPI().Components.Schemas
	result := &huma.ValidateResult{}
	huma.Validate(registry, a.schema(reflect.TypeOf(v).Elem()), huma.NewPathBuffer(make([]byte, 0, 128), 0), huma.ModeWriteToServer, tree, result)
	if len(result.Errors) > 0 {
		return wrongFields(fieldErrors(result.Errors))
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return problem(badRequest, "the body cannot be read: %v", plainJSON(err))
	}
	return nil
}

// plainJSON is an error of package json without the value that it stumbled over.
func plainJSON(err error) string {
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("a fault at byte %d", syntax.Offset)
	case errors.As(err, &wrong):
		return fmt.Sprintf("%s is not a %s", wrong.Field, wrong.Type)
	}
	return "a value is not of its type"
}

// maxFieldErrors is how many are told at once.
const maxFieldErrors = 50

// fieldErrors says what a schema found in the words of the model.
func fieldErrors(found []error) []model.FieldError {
	var out []model.FieldError
	for _, err := range found[:min(len(found), maxFieldErrors)] {
		e := model.FieldError{Field: "", Problem: "it does not fit", Cure: "see " + DocumentPath}
		if d := (*huma.ErrorDetail)(nil); errors.As(err, &d) {
			e.Field, e.Problem = d.Location, d.Message
		}
		var name string
		switch {
		case e.Problem == validation.MsgUnexpectedProperty:
			e.Problem, e.Cure = "this field is not known", "take it away; "+DocumentPath+" lists the fields"
		case missing(e.Problem, &name):
			e.Field = strings.TrimPrefix(e.Field+"."+name, ".")
			e.Problem, e.Cure = "it is missing", "give it"
		}
		out = append(out, e)
	}
	return out
}

func missing(message string, name *string) bool {
	n, err := fmt.Sscanf(message, validation.MsgExpectedRequiredProperty, name)
	return n == 1 && err == nil
}

// mergePatch applies a merge patch of RFC 7396.
func mergePatch(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for name, value := range changes {
		if value == nil {
			delete(object, name)
			continue
		}
		object[name] = mergePatch(object[name], value)
	}
	return object
}

func joined(words []string) string { return strings.Join(words, ", ") }
