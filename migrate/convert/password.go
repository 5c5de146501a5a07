package convert

import (
	"fmt"
	"strings"

	"ss-setup/migrate/report"
	"ss-setup/runtime/auth"
	"ss-setup/runtime/model"
)

// Scheme is what an importer knows of a hash.
type Scheme uint8

// The schemes. Plain hashes name their own scheme, as $2a$...; V4 is the one of versions 4
// and 5 (auth.V4Hash); Clear is no hash but the password; Foreign is any other.
const (
	Plain Scheme = iota
	V4
	Foreign
	Clear
)

// Password is a hash.
type Password struct {
	Scheme     Scheme
	Salt, Hash string
	MustChange bool
}

const (
	setAgain  = "set it again"
	mustBeSet = "its password was stored in a way that is not known here"
)

// password is the hash as this product keeps it. With keys the account can log in without.
func (c *Conversion) password(item *report.Item, p Password, keys bool) model.Password {
	out := model.Password{MustChange: p.MustChange}
	if p.Hash == "" {
		if !keys {
			item.Lose(report.Action, report.Passwords, "it has neither a password nor a key, so it cannot log in", "set a password")
		}
		return model.Password{}
	}
	if p.Scheme == Clear {
		out := c.clear(item, p.Hash)
		out.MustChange = p.MustChange
		return out
	}
	if p.Scheme == V4 {
		if hash, ok := auth.V4Hash(p.Salt, p.Hash); ok {
			out.Hash, out.Legacy = hash, true
			item.Warn(report.Passwords, "its password is kept in the old, weak way until the next log-in; one with special characters may fail", "set it again where the user does not log in soon, or cannot")
			return out
		}
	}
	if len(p.Hash) <= 1024 && !strings.ContainsAny(p.Hash, " \t\r\n") && strings.HasPrefix(p.Hash, "$") && c.hasher.Known(p.Hash) {
		out.Hash = p.Hash
		if weak(p.Hash) {
			item.Warn(report.Passwords, "its password is kept in a way that is quick to guess until the next log-in", "set it again where the user does not log in soon")
		}
		return out
	}
	out.MustSet = true
	if keys {
		item.Action(report.Passwords, mustBeSet, setAgain)
	} else {
		item.Lose(report.Action, report.Passwords, mustBeSet, setAgain)
	}
	return out
}

// Secret is a text that an old product kept for use.
type Secret struct {
	Text string
	// Sealed tells that only the old server could read it.
	Sealed bool
}

// Set tells whether there is one.
func (s Secret) Set() bool { return s.Text != "" || s.Sealed }

// suspects are the characters with which passwords of versions 4 and 5 may fail;
// docs/formats.md tells on what assumption. Characters beyond ASCII are among them.
const suspects = "\"&'<>%+\\"

// Suspect names the characters of a password of version 4 or 5 that may have been encoded
// twice; none if it is empty.
func Suspect(password string) string {
	var found []string
	for _, r := range password {
		if (r >= 0x80 || strings.ContainsRune(suspects, r)) && len(found) < 8 {
			found = append(found, fmt.Sprintf("U+%04X", r))
		}
	}
	return strings.Join(found, ", ")
}

// totp takes over the secret of an authenticator app. Who had a second factor must not go
// on with one alone.
func (c *Conversion) totp(l locker, s Secret) model.TOTP {
	if !s.Set() {
		return model.TOTP{}
	}
	text := strings.TrimRight(strings.ToUpper(strings.ReplaceAll(s.Text, " ", "")), "=")
	ok := !s.Sealed && len(text) >= 16 && len(text) <= 128 && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
	if !ok {
		l.lock(report.SecondFactor, "the secret of its authenticator app cannot be read here, so no code could be asked for", "set the app up again and enable it")
		return model.TOTP{}
	}
	return model.TOTP{Secret: model.Secret{Clear: text}}
}
