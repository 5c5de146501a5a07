// Package receipt is the memory of ss-setup: for every generation a receipt that
// says what was put on the machine, and one state file that says what became of
// the generations. verify compares the machine with the receipt, repair makes
// the machine equal to it, uninstall removes what it names.
//
// A receipt that was once released must be readable for ever: fields may be
// added to a schema, and are ignored by programs that do not know them, but none
// may go or change its meaning. A new schema is refused by older programs with
// ErrNewer. testdata keeps what was released.
//
// The package turns bytes into values and back; it reads and writes no files.
package receipt

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Schema is the version of the receipt's format that this program writes.
const Schema = 1

// Receipt is receipts/<n>.json: what generation n put on the machine.
type Receipt struct {
	Schema         int       `json:"schema"`
	Generation     int       `json:"generation"`
	Previous       int       `json:"previous,omitempty"` // the generation before; 0 for none
	Version        string    `json:"version"`
	Release        string    `json:"release"`         // name of the release folder
	ManifestDigest string    `json:"manifest_digest"` // SHA-256 in hexadecimal
	Created        time.Time `json:"created"`
	Verb           string    `json:"verb"`              // install, update, repair …
	Offline        bool      `json:"offline,omitempty"` // nothing was started: made with --root or --no-start
	// ManagedBy is the package manager whose package did this, dpkg or rpm; empty
	// when a person did.
	ManagedBy string `json:"managed_by,omitempty"`
	// Options are what was chosen, ports and service user above all, and holds
	// for the next run too. Plan is the plan object that was run. What is in the
	// two is known to the packages that make them.
	Options json.RawMessage `json:"options,omitempty"`
	Plan    json.RawMessage `json:"plan,omitempty"`
	// Predecessor is the older product that serves again when the first generation is
	// gone back from; none where there was none.
	Predecessor json.RawMessage `json:"predecessor,omitempty"`
	Files       []Entry         `json:"files"`
	Services    []Service       `json:"services"`
	Accounts    []string        `json:"accounts"`
	Originals   []Original      `json:"originals,omitempty"`
}

// Type is what an entry is on disk.
type Type string

// The types of entries.
const (
	File Type = "file"
	Dir  Type = "dir"
	Link Type = "link"
)

// Entry is one path that belongs to the product.
type Entry struct {
	Path   string `json:"path"` // absolute, as on the machine
	Type   Type   `json:"type"`
	Mode   string `json:"mode,omitempty"` // permission bits as octal text: "0755"; links have none
	Owner  string `json:"owner,omitempty"`
	Group  string `json:"group,omitempty"`
	Size   int64  `json:"size,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	Target string `json:"target,omitempty"` // where a link points
	// Config is set for what an admin may edit: its content is never compared
	// nor written again.
	Config bool `json:"config,omitempty"`
}

// Perm is the mode as a number.
func (e Entry) Perm() fs.FileMode {
	n, err := strconv.ParseUint(e.Mode, 8, 32)
	if err != nil {
		return 0
	}
	return fs.FileMode(n) & fs.ModePerm
}

// Mode is the text for a mode in an Entry.
func Mode(mode fs.FileMode) string { return fmt.Sprintf("%04o", mode.Perm()) }

// Service is one that was registered.
type Service struct {
	Name    string `json:"name"`
	User    string `json:"user"`
	Enabled bool   `json:"enabled"`
}

// Original is a file that stood in the way before the first install, and where
// it was saved.
type Original struct {
	Path string `json:"path"`
	// Saved is where its content lies; a link has none.
	Saved string `json:"saved,omitempty"`
}

// Parse reads a receipt. Fields it does not know are ignored; a newer schema is
// refused with ErrNewer, anything that is no receipt with ErrInvalid.
func Parse(data []byte) (Receipt, error) {
	if err := checkSchema("receipt", data, Schema); err != nil {
		return Receipt{}, err
	}
	var r Receipt
	if err := json.Unmarshal(data, &r); err != nil {
		return Receipt{}, invalidf("receipt", "%w", err)
	}
	if err := r.check(); err != nil {
		return Receipt{}, invalidf("receipt", "%w", err)
	}
	return r, nil
}

// Marshal writes a receipt for people and diff: indented, files in the order of
// their paths, the same bytes for the same receipt. It sets the schema, and
// refuses to write what Parse would refuse to read.
func (r Receipt) Marshal() ([]byte, error) {
	r.Schema = Schema
	r.Created = seconds(r.Created)
	r.Files = sorted(r.Files, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	r.Services = sorted(r.Services, func(a, b Service) int { return strings.Compare(a.Name, b.Name) })
	r.Accounts = sorted(r.Accounts, strings.Compare)
	r.Originals = sorted(r.Originals, func(a, b Original) int { return strings.Compare(a.Path, b.Path) })
	if err := r.check(); err != nil {
		return nil, invalidf("receipt", "%w", err)
	}
	return indented("receipt", r)
}

// sorted leaves the caller's list alone, and makes an empty one of none, so that
// the file shows [] and not null.
func sorted[T any](list []T, compare func(a, b T) int) []T {
	list = append(make([]T, 0, len(list)), list...)
	slices.SortStableFunc(list, compare)
	return list
}

var (
	hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)
	octalMode = regexp.MustCompile(`^0[0-7]{3}$`)
	drivePath = regexp.MustCompile(`^[A-Za-z]:[\\/]`)
)

func (r Receipt) check() error {
	if r.Generation < 1 {
		return fmt.Errorf("generation is %d", r.Generation)
	}
	if r.Previous < 0 || r.Previous >= r.Generation {
		return fmt.Errorf("the generation before %d is %d", r.Generation, r.Previous)
	}
	if r.Version == "" || r.Release == "" {
		return fmt.Errorf("generation %d has no version or no release", r.Generation)
	}
	if !isName(r.Release) {
		return fmt.Errorf("release %q is no name of a folder", r.Release)
	}
	if !hexDigest.MatchString(r.ManifestDigest) {
		return fmt.Errorf("manifest_digest %q is not 64 lower-case hexadecimal characters", r.ManifestDigest)
	}
	known := make(map[string]bool, len(r.Files))
	for _, e := range r.Files {
		if err := e.check(); err != nil {
			return fmt.Errorf("file %q: %w", e.Path, err)
		}
		if known[e.Path] {
			return fmt.Errorf("file %q is there twice", e.Path)
		}
		known[e.Path] = true
	}
	for _, o := range r.Originals {
		if !isAbsolute(o.Path) || (o.Saved != "" && !isAbsolute(o.Saved)) {
			return fmt.Errorf("original %q saved at %q: not absolute paths", o.Path, o.Saved)
		}
	}
	return nil
}

func (e Entry) check() error {
	if !isAbsolute(e.Path) {
		return fmt.Errorf("not an absolute path in its shortest form")
	}
	if e.Size < 0 {
		return fmt.Errorf("size is %d", e.Size)
	}
	if e.Mode != "" && !octalMode.MatchString(e.Mode) {
		return fmt.Errorf("mode %q is not three octal digits after a 0, like 0755", e.Mode)
	}
	switch e.Type {
	case Dir:
	case File:
		// What an admin edits has no digest to hold it to.
		if !hexDigest.MatchString(e.SHA256) && (e.SHA256 != "" || !e.Config) {
			return fmt.Errorf("sha256 %q is not 64 lower-case hexadecimal characters", e.SHA256)
		}
	case Link:
		if e.Target == "" {
			return fmt.Errorf("link without a target")
		}
	default:
		return fmt.Errorf("type %q is not file, dir or link", e.Type)
	}
	return nil
}

// isAbsolute takes the paths of every system, whichever this one is: a receipt
// is read elsewhere too, by support. uninstall removes what a receipt names, so
// a path that climbs is none.
func isAbsolute(p string) bool {
	if drivePath.MatchString(p) {
		rest := strings.ReplaceAll(p[2:], `\`, "/")
		return path.Clean(rest) == rest
	}
	return strings.HasPrefix(p, "/") && path.Clean(p) == p && !strings.Contains(p, "\x00")
}

func isName(s string) bool {
	return s != "." && s != ".." && !strings.ContainsAny(s, "/\\\x00")
}
