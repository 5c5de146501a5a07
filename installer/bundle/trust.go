package bundle

import "fmt"

// Verifier decides whether the bytes of a manifest come from whoever may release
// the product. It is asked before they are parsed. Its refusals match
// ErrUntrusted.
type Verifier interface {
	Verify(manifest []byte) error
}

// DigestOnly is no proof of origin. With a digest it accepts the one manifest
// that has it, which is as good as the way on which that digest came; empty, it
// accepts every manifest, and then the package is only proved to be undamaged:
// its files are what its own manifest says, whoever wrote that.
type DigestOnly struct {
	SHA256 string // lower-case hexadecimal, or empty
}

// Verify compares the digest, when there is one.
func (d DigestOnly) Verify(manifest []byte) error {
	if d.SHA256 == "" {
		return nil
	}
	if got := Digest(manifest); got != d.SHA256 {
		return fmt.Errorf("%w: the SHA-256 of its manifest is %s and should be %s", ErrUntrusted, got, d.SHA256)
	}
	return nil
}
