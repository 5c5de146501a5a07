package rest

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/hostkey"
	"ss-setup/runtime/model"
)

// NewHostKey is what a host key is made of: a private key, or the algorithm of one that the
// server draws.
type NewHostKey struct {
	Name       string `json:"name"`
	Algorithm  string `json:"algorithm,omitempty" doc:"The key to draw: ssh-ed25519 if neither this nor private is there."`
	Private    string `json:"private,omitempty" writeOnly:"true" doc:"A private key to import: OpenSSH, PKCS#1, PKCS#8 or SEC 1."`
	Passphrase string `json:"passphrase,omitempty" writeOnly:"true" doc:"Of the private key, if it is encrypted."`
	Disabled   bool   `json:"disabled,omitempty"`
}

// decodeHostKey makes a host key, drawn or imported.
func (a *API) decodeHostKey(raw []byte) (model.Object, error) {
	var in NewHostKey
	if err := a.read(raw, &in); err != nil {
		return nil, err
	}
	h := &model.HostKey{Head: model.Head{Name: in.Name}, Disabled: in.Disabled}
	if in.Private != "" {
		if in.Algorithm != "" {
			return nil, wrongField("algorithm", "a key that is imported has its own", "leave it out")
		}
		return h, a.imported(h, in.Private, in.Passphrase)
	}
	if in.Algorithm == "" {
		in.Algorithm = hostkey.Generated[0]
	}
	k, err := hostkey.Generate(in.Algorithm)
	if err != nil {
		return nil, wrongField("algorithm", err.Error(), "leave it out for ssh-ed25519")
	}
	return h, keepKey(h, k)
}

// imported takes a private key over, if it may be used.
func (a *API) imported(h *model.HostKey, private, passphrase string) error {
	k, err := hostkey.Parse([]byte(private), passphrase)
	if err != nil {
		verdict := hostkey.JudgeError(err)
		return wrongField("private", verdict.Reason, verdict.Cure)
	}
	if verdict := k.Judge(a.KnownKeys); !verdict.OK() {
		return wrongField("private", verdict.Reason, verdict.Cure)
	}
	if !k.HasPrivate() {
		return wrongField("private", "it is only the public half", "give the private key")
	}
	return keepKey(h, k)
}

// site gives a new site the host keys that it cannot run without.
func (w *write) site(s *model.Site) error {
	if w.old != nil {
		return nil
	}
	for _, algorithm := range hostkey.Generated[:2] {
		k, err := hostkey.Generate(algorithm)
		if err != nil {
			return err
		}
		h := &model.HostKey{Head: model.Head{Name: string(k.Type)}, Site: s.Name}
		if err := keepKey(h, k); err != nil {
			return err
		}
		w.beside = append(w.beside, h)
	}
	return nil
}

func keepKey(h *model.HostKey, k *hostkey.Key) error {
	text, err := k.PEM()
	if err != nil {
		return err
	}
	h.Public, h.Private = k.Line(), model.Secret{Clear: text}
	return nil
}

// hostKey checks a key that is put in the place of another one.
func (w *write) hostKey(h *model.HostKey) error {
	if w.old == nil || h.Private.Clear == "" {
		return nil
	}
	return w.api.imported(h, h.Private.Clear, "")
}

// AuditRequest is a text with keys.
type AuditRequest struct {
	Text       string `json:"text" maxLength:"262144" doc:"Keys, private or public, of any format."`
	Passphrase string `json:"passphrase,omitempty" writeOnly:"true"`
}

// Findings are what there is to say of each key in a text.
type Findings struct {
	Keys []hostkey.Finding `json:"keys" nullable:"false"`
}

// FindingsOut is Findings as an answer.
type FindingsOut struct{ Body *Findings }

// FindingOut is one of them.
type FindingOut struct{ Body hostkey.Finding }

func (a *API) registerKeys() {
	operate(a, operation{
		method: http.MethodPost, path: "/hostkeys/audit", id: "audit-host-keys", tag: "hostkeys",
		summary: "Tell which keys of a text may be used", in: reflect.TypeFor[AuditRequest](), out: reflect.TypeFor[Findings](),
	}, func(ctx context.Context, _ *caller, in *Raw) (*FindingsOut, error) {
		var ask AuditRequest
		if err := a.read(in.RawBody, &ask); err != nil {
			return nil, err
		}
		// Keys are work, everybody may hand in a text full, and nobody can call it off: one
		// text at a time leaves the processors to others.
		select {
		case a.auditing <- struct{}{}:
			defer func() { <-a.auditing }()
		case <-ctx.Done():
			return nil, later(unavailable, time.Second, "the keys of somebody else are being judged; repeat the request")
		}
		return &FindingsOut{Body: &Findings{Keys: hostkey.Audit([]byte(ask.Text), ask.Passphrase, a.KnownKeys)}}, nil
	})
	type in struct {
		InSite
		ObjectID
	}
	operate(a, operation{
		method: http.MethodGet, path: "/sites/{site}/hostkeys/{id}/verdict", id: "judge-host-key", tag: "hostkeys",
		summary: "Tell whether a host key may be used", out: reflect.TypeFor[hostkey.Finding](), problems: []problemType{notFound},
	}, func(_ context.Context, c *caller, in *in) (*FindingOut, error) {
		key := keyOf(model.KindHostKey, in.Site, in.ID)
		if !c.mayView(key) {
			return nil, notAllowed(c, "see", key.Kind, key.Site)
		}
		var h *model.HostKey
		err := a.Engine.Read(func(r *engine.Reader) (err error) {
			h, err = engine.HostKeys.Get(r, in.Site, in.ID)
			return err
		})
		if err != nil {
			return nil, err
		}
		finding := hostkey.Audit([]byte(h.Public), "", a.KnownKeys)[0]
		finding.Private = !h.Private.IsZero()
		return &FindingOut{Body: finding}, nil
	})
}

// MadeToken is a token with its text, which is told this once.
type MadeToken struct {
	Token  *model.Token `json:"token"`
	Secret string       `json:"secret" doc:"What to send as Authorization: Bearer. It cannot be read again."`
}
