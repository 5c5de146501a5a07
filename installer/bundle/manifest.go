package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
)

// Names of the three files of a bundle. A release folder holds the first two, and the
// evidence by which they were trusted.
const (
	ManifestName = "manifest.json"
	PayloadName  = "payload.tar.zst"
	SetupName    = "ss-setup"
	EvidenceName = "trust.json"
)

// Schema is the only version of the manifest's format so far, Product the only
// product that this installer knows.
const (
	Schema  = 1
	Product = "ss-server"
)

// Bounds of what a manifest may declare. They are far above any release, and
// low enough that a hostile manifest cannot fill a disk or the memory before
// the preflight has looked at the free space.
const (
	MaxManifestSize = 4 << 20
	MaxFiles        = 10_000
	MaxFileSize     = 2 << 30
	MaxUnpackedSize = 4 << 30
	MaxPathLength   = 255
)

// Manifest is manifest.json: everything that belongs to one release for one
// operating system and architecture.
type Manifest struct {
	Schema  int    `json:"schema"`
	Product string `json:"product"`
	Version string `json:"version"` // semantic version without a leading v
	OS      string `json:"os"`      // as in GOOS
	Arch    string `json:"arch"`    // as in GOARCH
	Files   []File `json:"files"`
	Payload Blob   `json:"payload"`
	Setup   Blob   `json:"setup"` // the ss-setup beside the manifest
}

// File is one regular file of the payload.
type File struct {
	Path   string `json:"path"` // relative, with slashes
	Size   int64  `json:"size"`
	Mode   string `json:"mode"` // permission bits as octal text: "0755"
	SHA256 string `json:"sha256"`
}

// Blob is a file that lies beside the manifest.
type Blob struct {
	Name   string `json:"name,omitempty"` // empty for ss-setup, whose name is fixed
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Parse reads a manifest and refuses whatever is not exactly one: an unknown,
// differently spelled or repeated field, a path that would leave the release
// folder or mean the same file as another one on some system, sizes beyond the
// bounds above. Its errors match ErrDamaged, or ErrNewer for a newer schema.
func Parse(data []byte) (Manifest, error) {
	if len(data) > MaxManifestSize {
		return Manifest{}, damagedf("the manifest has %d bytes, more than %d", len(data), MaxManifestSize)
	}
	// The schema is looked at before anything else: a newer format may well have
	// fields that are unknown here, and then "unknown field" would mislead.
	var head struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return Manifest{}, damagedf("cannot read the manifest: %w", err)
	}
	if head.Schema > Schema {
		return Manifest{}, fmt.Errorf("%w: its manifest has schema %d and this program reads schema %d; "+
			"run the ss-setup that came with the package", ErrNewer, head.Schema, Schema)
	}
	if err := checkFields(data); err != nil {
		return Manifest{}, damagedf("cannot read the manifest: %w", err)
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return Manifest{}, damagedf("cannot read the manifest: %w", err)
	}
	if err := m.check(); err != nil {
		return Manifest{}, damagedf("manifest: %w", err)
	}
	return m, nil
}

// Digest is the SHA-256 of a manifest's bytes in hexadecimal: the name of a
// release to machines.
func Digest(manifest []byte) string {
	sum := sha256.Sum256(manifest)
	return hex.EncodeToString(sum[:])
}

// Release is the name of a release to people and on disk: its version and the
// first eight characters of its manifest's digest.
func (m Manifest) Release(digest string) string {
	return m.Version + "-" + digest[:min(8, len(digest))]
}

// UnpackedSize is the sum of the sizes of the files, without what a file system
// adds.
func (m Manifest) UnpackedSize() int64 {
	var n int64
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// Perm is the mode of a file of a parsed manifest as a number.
func (f File) Perm() fs.FileMode {
	n, err := strconv.ParseUint(f.Mode, 8, 32)
	if err != nil {
		return 0
	}
	return fs.FileMode(n) & fs.ModePerm
}

var (
	// The pattern that semver.org recommends.
	semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
		`(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?` +
		`(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$`)
	platformName = regexp.MustCompile(`^[a-z0-9]{1,16}$`)
	hexDigest    = regexp.MustCompile(`^[0-9a-f]{64}$`)
	octalMode    = regexp.MustCompile(`^0[0-7]{3}$`)
)

// versionLength keeps the name of a release a short file name.
const versionLength = 64

func (m Manifest) check() error {
	if m.Schema != Schema {
		return fmt.Errorf("schema is %d, not %d", m.Schema, Schema)
	}
	if m.Product != Product {
		return fmt.Errorf("product is %q, not %q", m.Product, Product)
	}
	if len(m.Version) > versionLength || !semver.MatchString(m.Version) {
		return fmt.Errorf("version %q is not a semantic version like 7.0.0", m.Version)
	}
	if !platformName.MatchString(m.OS) {
		return fmt.Errorf("os %q is not the name of an operating system", m.OS)
	}
	if !platformName.MatchString(m.Arch) {
		return fmt.Errorf("arch %q is not the name of an architecture", m.Arch)
	}
	if m.Payload.Name != PayloadName {
		return fmt.Errorf("payload is named %q, not %q", m.Payload.Name, PayloadName)
	}
	if m.Setup.Name != "" && m.Setup.Name != SetupName {
		return fmt.Errorf("setup is named %q, not %q", m.Setup.Name, SetupName)
	}
	if err := m.Payload.check(); err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	if err := m.Setup.check(); err != nil {
		return fmt.Errorf("setup: %w", err)
	}
	return checkFiles(m.Files)
}

func (b Blob) check() error {
	if b.Size <= 0 || b.Size > MaxFileSize {
		return fmt.Errorf("size %d is not between 1 and %d", b.Size, int64(MaxFileSize))
	}
	if !hexDigest.MatchString(b.SHA256) {
		return fmt.Errorf("sha256 %q is not 64 lower-case hexadecimal characters", b.SHA256)
	}
	return nil
}

func (f File) check() error {
	if err := checkPath(f.Path); err != nil {
		return err
	}
	if f.Size < 0 || f.Size > MaxFileSize {
		return fmt.Errorf("size %d is not between 0 and %d", f.Size, int64(MaxFileSize))
	}
	if !octalMode.MatchString(f.Mode) {
		return fmt.Errorf("mode %q is not three octal digits after a 0, like 0755", f.Mode)
	}
	// What root runs, nobody else may write.
	if f.Perm()&0o022 != 0 {
		return fmt.Errorf("mode %q lets others than the owner write", f.Mode)
	}
	if !hexDigest.MatchString(f.SHA256) {
		return fmt.Errorf("sha256 %q is not 64 lower-case hexadecimal characters", f.SHA256)
	}
	return nil
}

// fields of every object in a manifest, by the place of the object: "" is the
// manifest itself, an element of a list has the place of its list.
var fields = map[string][]string{
	"":        {"schema", "product", "version", "os", "arch", "files", "payload", "setup"},
	"files":   {"path", "size", "mode", "sha256"},
	"payload": {"name", "size", "sha256"},
	"setup":   {"name", "size", "sha256"},
}

// checkFields refuses unknown and repeated fields. encoding/json alone would
// take "SIZE" for "size" and the last of two, where another reader of the same
// manifest takes the first.
func checkFields(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	return checkValue(dec, "")
}
