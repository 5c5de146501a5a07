package receipt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

var (
	// ErrNewer is found in the error for a file that a newer ss-setup wrote.
	ErrNewer = errors.New("made by a newer ss-setup")

	// ErrInvalid is found in the error for bytes that no ss-setup wrote, or that
	// were damaged since.
	ErrInvalid = errors.New("not valid")
)

// checkSchema looks at the schema alone, before fields whose meaning it decides.
func checkSchema(what string, data []byte, known int) error {
	var head struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return invalidf(what, "%w", err)
	}
	if head.Schema > known {
		return fmt.Errorf("the %s was %w: it has schema %d and this program reads schema %d; run that newer ss-setup",
			what, ErrNewer, head.Schema, known)
	}
	if head.Schema < 1 {
		return invalidf(what, "schema is %d", head.Schema)
	}
	return nil
}

func invalidf(what, format string, args ...any) error {
	return fmt.Errorf("the %s is %w: %w", what, ErrInvalid, fmt.Errorf(format, args...))
}

// indented encodes v for people: without \u003c for <, with a line feed at the
// end.
func indented(what string, v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("cannot encode the %s: %w", what, err)
	}
	return buf.Bytes(), nil
}
