package convert

import (
	"encoding/json"
	"strings"
)

// hidden stands in a kept object where something secret was.
const hidden = "(kept encrypted)"

// secretWords are in the names of fields that may hold a secret. One too many costs that
// somebody does not see a setting; all of it is kept encrypted beside.
var secretWords = []string{"pass", "pwd", "secret", "key", "token", "payload", "credential", "salt", "hash", "otp", "auth", "private", "connectionstring", "dsn", "sas"}

// withoutSecrets is a document as anybody may see it who may see kept objects: without
// passwords, keys and whatever else may be secret. secret tells whether it had any.
func withoutSecrets(raw string) (public string, secret bool) {
	d := json.NewDecoder(strings.NewReader(raw))
	d.UseNumber() // as they are written
	var v any
	if err := d.Decode(&v); err != nil {
		return "null", true // it was JSON when it was read
	}
	if v, secret = hide(v); !secret {
		return raw, false
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "null", true
	}
	return string(text), true
}

func hide(v any) (public any, secret bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if mayBeSecret(name) && says(inner) {
				v[name], secret = hidden, true
				continue
			}
			shown, had := hide(inner)
			v[name], secret = shown, secret || had
		}
	case []any:
		for i, inner := range v {
			shown, had := hide(inner)
			v[i], secret = shown, secret || had
		}
	case string:
		return hideInText(v)
	}
	return v, secret
}

func mayBeSecret(field string) bool {
	if strings.HasPrefix(field, "/") {
		return false // the path of a folder
	}
	field = Bare(field)
	for _, word := range secretWords {
		if strings.Contains(field, word) {
			return true
		}
	}
	return false
}

// says tells values that could be a secret from switches and from what is empty.
func says(v any) bool {
	switch v := v.(type) {
	case string:
		return v != ""
	case json.Number, map[string]any, []any:
		return true
	}
	return false
}

// hideInText finds keys, and passwords in addresses. Documents within documents, as some
// settings are written, are looked through as well.
func hideInText(text string) (any, bool) {
	if strings.Contains(text, "-----BEGIN ") && strings.Contains(text, "PRIVATE KEY") {
		return hidden, true
	}
	if trimmed := strings.TrimSpace(text); strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "[") {
		if public, secret := withoutSecrets(trimmed); secret && json.Valid([]byte(trimmed)) {
			return public, true
		}
	}
	if _, rest, ok := strings.Cut(text, "://"); ok && withoutUser(rest) != rest {
		return shownRoot(text), true
	}
	return text, false
}
