package rest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"strings"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
)

// A token is sst_NAME_SECRET: the name says which of the kept ones to compare it with, and
// tells a person who finds it what to switch off.
const (
	tokenPrefix = "sst_"
	tokenBytes  = 32
)

var tokenText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newToken draws a token for a name; hash is what is kept of it.
func newToken(name string) (text, hash string) {
	raw := make([]byte, tokenBytes)
	_, _ = rand.Read(raw) // never fails
	text = tokenPrefix + name + "_" + tokenText.EncodeToString(raw)
	return text, tokenHash(text)
}

func tokenHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// maxToken bounds what is looked at: prefix, name, secret.
const maxToken = 200

// tokenOf is the kept token that a text proves, nil if there is none.
func (a *API) tokenOf(text string) (found *model.Token, err error) {
	if len(text) > maxToken {
		return nil, nil
	}
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	at := strings.LastIndexByte(rest, '_')
	if !ok || at <= 0 {
		return nil, nil
	}
	err = a.Engine.Read(func(r *engine.Reader) (err error) {
		found, err = engine.Tokens.Get(r, "", rest[:at])
		return err
	})
	if missing := (*engine.NotFoundError)(nil); errors.As(err, &missing) {
		found, err = nil, nil
	}
	if err != nil || found == nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(tokenHash(text)), []byte(found.Hash)) != 1 {
		return nil, nil
	}
	return found, nil
}

// MakeToken keeps a new token, and gives the text that is shown once.
func MakeToken(ctx context.Context, e *engine.Engine, by string, t *model.Token) (text string, err error) {
	text, t.Hash = newToken(t.Name)
	_, err = e.Write(ctx, by, func(tx *engine.Tx) error { return tx.Create(t) })
	if err != nil {
		return "", err
	}
	return text, nil
}
