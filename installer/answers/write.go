package answers

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	setup "ss-setup/runtime/setup/answers"
)

// Marshal writes an answers file of what a run used, keyed by the names of Keys, and of
// what the server is set up with, nil for nothing. Keys that were left to their standard
// are there as remarks. Passwords are left out: that in an address, and those of the set-up
// that are no hashes, which are named.
func Marshal(used map[string]string, first *setup.Answers) (text []byte, leftOut []string, err error) {
	var out bytes.Buffer
	out.WriteString("# Answers for: ss-setup install --answers FILE\n")
	for _, k := range Keys {
		fmt.Fprintf(&out, "\n# %s It can be %s.\n", k.Text, k.Allowed)
		value, ok := used[k.Name]
		switch {
		case !ok:
			fmt.Fprintf(&out, "# %s: (standard: %s)\n", k.Name, k.Standard)
		case k.kind == setup.Text:
			fmt.Fprintf(&out, "%s: %s\n", k.Name, strconv.Quote(WithoutPassword(value)))
		default:
			fmt.Fprintf(&out, "%s: %s\n", k.Name, value)
		}
	}
	mine, leftOut, err := setup.Marshal(first)
	out.Write(mine)
	return out.Bytes(), leftOut, err
}

// WithoutPassword is a value without the password of an address in it.
func WithoutPassword(value string) string {
	return addressPassword.ReplaceAllString(value, "$1@")
}

// addressPassword is what stands between the name and the host of an address, also
// where it is no valid one: a password may hold anything.
var addressPassword = regexp.MustCompile(`(://[^/?#@:]*):[^/?#]*@`)

// Save writes an answers file for its owner alone, whole or not at all.
func Save(path string, used map[string]string, first *setup.Answers) (leftOut []string, err error) {
	text, leftOut, err := Marshal(used, first)
	if err == nil {
		err = save(path, text)
	}
	return leftOut, err
}

func save(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return fmt.Errorf("save the answers: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("save the answers: %w", err)
	}
	return nil
}
