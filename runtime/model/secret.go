package model

import (
	"log/slog"
	"strings"
	"time"
)

// Secret is a value that the server must be able to read again: a TOTP secret, the
// password of an LDAP account, a private key. At most one field is set.
//
// Who sets a secret writes Clear; the write path seals it and nobody but it opens it
// again. Set alone means "there is one, leave it": so a form that shows an object can
// hand it back. An empty Secret takes a stored one away.
type Secret struct {
	Clear  string `json:"clear,omitempty"`
	Sealed string `json:"sealed,omitempty"`
	Set    bool   `json:"set,omitempty"`
}

// IsZero tells that there is no secret.
func (s Secret) IsZero() bool { return s == Secret{} }

// String hides the secret from logs and messages.
func (s Secret) String() string {
	if s.IsZero() {
		return "none"
	}
	return "set"
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue is String, for logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Redacted says only whether there is a secret.
func (s Secret) Redacted() Secret { return Secret{Set: !s.IsZero()} }

// SecretField is a secret and the path of its field in the JSON form.
type SecretField struct {
	Field  string
	Secret *Secret
}

// Password is what is kept of a password: a hash that names its own scheme and
// parameters, which only the authentication takes apart.
type Password struct {
	Hash string `json:"hash,omitempty"`
	// Clear is a password that somebody chose. Who takes it in makes Hash of it; the
	// write path refuses what was forgotten.
	Clear string `json:"clear,omitempty"`
	// Set alone means "there is one, leave it", as with a Secret.
	Set bool `json:"set,omitempty"`
	// MustChange lets the user in only to choose another password.
	MustChange bool `json:"mustChange,omitempty"`
	// MustSet marks an imported hash of a scheme that nobody here can check.
	MustSet bool `json:"mustSet,omitempty"`
	// Legacy marks an imported hash whose failures may come from the encoding fault of
	// versions 4 and 5.
	Legacy  bool      `json:"legacy,omitempty"`
	Changed time.Time `json:"changed,omitzero"`
}

// String hides the hash from logs and messages.
func (p Password) String() string {
	if p.Hash == "" && !p.Set {
		return "none"
	}
	return "set"
}

// GoString is String, for %#v.
func (p Password) GoString() string { return p.String() }

// LogValue is String, for logs.
func (p Password) LogValue() slog.Value { return slog.StringValue(p.String()) }

// Redacted is the password without the hash.
func (p Password) Redacted() Password {
	p.Set, p.Hash, p.Clear = p.Set || p.Hash != "", "", ""
	return p
}

// PasswordField is a password and the path of its field in the JSON form.
type PasswordField struct {
	Field    string
	Password *Password
}

func (c *check) password(field string, p Password) {
	c.that(len(p.Hash) <= 1024 && isText(p.Hash, "") && !strings.Contains(p.Hash, " "), field+".hash",
		"it is not the hash of a password", "set the password again")
	c.that(p.Clear == "", field+".clear", "no hash was made of it", "set the password in another way, and report this")
}

// TOTP is the second factor of an authenticator app. It is asked for when it has a
// secret.
type TOTP struct {
	Secret Secret `json:"secret,omitzero"`
	// Recovery are hashes of codes that each work once without the app.
	Recovery []string `json:"recovery,omitempty"`
}

// On tells whether a code is asked for.
func (t TOTP) On() bool { return !t.Secret.IsZero() }

func (c *check) totp(field string, t TOTP) {
	if clear := t.Secret.Clear; clear != "" {
		ok := len(clear) >= 16 && len(clear) <= 128 && strings.Trim(clear, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
		c.that(ok, field+".secret", "it is not a secret in base32 of at least 16 letters", "write 16 to 128 of A-Z and 2-7, without blanks or =")
	}
	c.that(len(t.Recovery) <= 20, field+".recovery", "there are too many codes", "keep at most 20")
}

// Redact takes hashes and secrets out of an object that leaves the server: what is left
// says only whether there is one. Hand in a copy.
func Redact(o Object) {
	for _, f := range o.Secrets() {
		*f.Secret = f.Secret.Redacted()
	}
	for _, f := range o.Passwords() {
		*f.Password = f.Password.Redacted()
	}
	if t := SecondFactor(o); t != nil {
		t.Recovery = nil
	}
	if t, ok := o.(*Token); ok {
		t.Hash = ""
	}
}

// SecondFactor is that of an account, nil for objects that are none.
func SecondFactor(o Object) *TOTP {
	switch o := o.(type) {
	case *User:
		return &o.TOTP
	case *Admin:
		return &o.TOTP
	case *SuperAdmin:
		return &o.TOTP
	}
	return nil
}
