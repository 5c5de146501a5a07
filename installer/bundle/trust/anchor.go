package trust

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// root is the root metadata that this program trusts from the start, in base64. It
// is set when the program is built; see the Makefile.
var root string

// developmentField marks a root whose keys were made by a development build. It is
// among the signed fields.
const developmentField = "x-ss-development"

// Anchor is the root that trust starts from.
type Anchor struct {
	raw  []byte
	root *metadata.Metadata[metadata.RootType]
}

// Embedded is the root that this program was built with. A program without one
// trusts nothing: the error is a Refusal for NoRoot.
func Embedded() (Anchor, error) {
	if root == "" {
		return Anchor{}, Refuse(NoRoot, "this ss-setup was built without a root of trust, so it can trust no package; "+
			"use the ss-setup of a release, or build one with: make build")
	}
	raw, err := base64.StdEncoding.DecodeString(root)
	if err != nil {
		return Anchor{}, Refuse(NoRoot, "this ss-setup was built with a root of trust that cannot be read: %w", err)
	}
	return NewAnchor(raw)
}

// NewAnchor reads root metadata and holds them to their own signature.
func NewAnchor(raw []byte) (Anchor, error) {
	r, err := metadata.Root().FromBytes(raw)
	if err != nil {
		return Anchor{}, Refuse(NoRoot, "the root of trust cannot be read: %w", err)
	}
	if err := r.VerifyDelegate(metadata.ROOT, r); err != nil {
		return Anchor{}, Refuse(NoRoot, "the root of trust has not signed itself: %w", err)
	}
	return Anchor{raw: raw, root: r}, nil
}

// Development tells a root whose keys lie about on some developer's machine.
func (a Anchor) Development() bool {
	mark, _ := a.root.Signed.UnrecognizedFields[developmentField].(bool)
	return mark
}

// MarkDevelopment marks root metadata that are about to be signed.
func MarkDevelopment(r *metadata.RootType) {
	if r.UnrecognizedFields == nil {
		r.UnrecognizedFields = map[string]any{}
	}
	r.UnrecognizedFields[developmentField] = true
}

// Name tells roots apart for people: version and the start of the digest.
func (a Anchor) Name() string {
	sum := sha256.Sum256(a.raw)
	return fmt.Sprintf("root %d, %s", a.root.Signed.Version, hex.EncodeToString(sum[:4]))
}

// ErrNoMetadata is what a Source returns for a file that it does not have.
var ErrNoMetadata = errors.New("no such metadata")
