package rest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"ss-setup/runtime/model"
)

// describe finishes the document: what the Go types cannot say about who sets a field.
func (a *API) describe() {
	schemas := a.huma.OpenAPI().Components.Schemas.Map()
	for _, s := range schemas {
		for name, p := range s.Properties {
			// A list that is left out when it is empty is never null in an answer.
			p.Nullable = p.Nullable && slices.Contains(s.Required, name)
		}
	}
	for _, k := range kinds() {
		s := schemas[k.object.Name()]
		readOnly(s, "rev", "created", "modified", "by", "site")
		optional(s, "name")
	}
	remove(schemas["Secret"], "sealed")
	writeOnly(schemas["Secret"], "clear")
	remove(schemas["Password"], "hash")
	writeOnly(schemas["Password"], "clear")
	readOnly(schemas["Password"], "mustSet", "legacy", "changed")
	remove(schemas["TOTP"], "recovery")
	remove(schemas["Token"], "hash")
	readOnly(schemas["PublicKey"], "fingerprint", "added")
	readOnly(schemas["HostKey"], "algorithm", "public", "fingerprint")
	readOnly(schemas["Certificate"], "notBefore", "notAfter", "fingerprint")
	readOnly(schemas["VFS"], "keyId")
	readOnly(schemas["Entry"], "name")
	optional(schemas["VFS"], "type")
	optional(schemas["Binding"], "protocol")
	optional(schemas["LDAPProfile"], "urls", "baseDN", "filter")
	for _, f := range chosen() {
		s := schemas[f.schema].Properties[f.field]
		if s.Type == huma.TypeArray {
			s = s.Items
		}
		s.Enum = f.values
		s.PrecomputeMessages()
	}
	tellFields(schemas)
	for _, s := range schemas {
		s.PrecomputeMessages()
	}
}

// document is the OpenAPI document as it is served.
type document struct {
	text []byte
	etag string
}

// write encodes the document: half a megabyte that most servers are never asked for.
func (a *API) write() *document {
	text, err := json.MarshalIndent(a.huma.OpenAPI(), "", "  ")
	if err != nil {
		// It is made of types of the program: every test would show it.
		a.Log.Error("the OpenAPI document cannot be written", "error", err)
	}
	sum := sha256.Sum256(text)
	return &document{append(text, '\n'), `"` + hex.EncodeToString(sum[:8]) + `"`}
}

func (a *API) serveDocument(w http.ResponseWriter, r *http.Request) {
	document := a.document()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", document.etag)
	if r.Header.Get("If-None-Match") == document.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if _, err := w.Write(document.text); err != nil {
		a.Log.Debug("the document was not delivered", "error", err)
	}
}

// choice is a field with few values.
type choice struct {
	schema, field string
	values        []any
}

func chosen() []choice {
	texts := func(list ...string) []any {
		out := make([]any, len(list))
		for i, word := range list {
			out[i] = word
		}
		return out
	}
	var kindsOfObjects, permissions []string
	for _, k := range model.Kinds() {
		kindsOfObjects = append(kindsOfObjects, string(k))
	}
	for _, p := range model.AllPermissions() {
		permissions = append(permissions, string(p))
	}
	return []choice{
		{"Rights", "view", texts(kindsOfObjects...)},
		{"Rights", "edit", texts(kindsOfObjects...)},
		{"Folder", "permissions", texts(permissions...)},
		{"VirtualFolder", "permissions", texts(permissions...)},
		{"PathPermissions", "permissions", texts(permissions...)},
		{"VFS", "type", texts(string(model.VFSDisk), string(model.VFSEncrypted))},
		{"Certificate", "type", texts(string(model.CertSelfSigned), string(model.CertPEM), string(model.CertACME))},
		{"Binding", "protocol", texts(string(model.ProtocolSFTP))},
		{"Entry", "list", texts(string(model.ListBlock), string(model.ListAllow), string(model.ListSafe))},
		{"Protector", "level", texts(
			string(model.LevelOff), string(model.LevelIndulgent), string(model.LevelNormal), string(model.LevelStrict), string(model.LevelParanoid))},
		{"MailSettings", "tls", texts(string(model.MailStartTLS), string(model.MailTLSOnly), string(model.MailPlain))},
	}
}

func readOnly(s *huma.Schema, fields ...string) {
	for _, field := range fields {
		if p := s.Properties[field]; p != nil {
			p.ReadOnly = true
		}
	}
}

func writeOnly(s *huma.Schema, fields ...string) {
	for _, field := range fields {
		s.Properties[field].WriteOnly = true
	}
}

// optional takes fields out of those that must be there: what is missing the model says,
// with the cure.
func optional(s *huma.Schema, fields ...string) {
	s.Required = slices.DeleteFunc(s.Required, func(name string) bool { return slices.Contains(fields, name) })
}

func remove(s *huma.Schema, fields ...string) {
	for _, field := range fields {
		delete(s.Properties, field)
	}
}
