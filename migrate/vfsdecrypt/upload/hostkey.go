package upload

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// ErrHostKey: the server has not proved to be the one that is meant.
var ErrHostKey = errors.New("the server's host key is not a known one")

// Trust says which host keys are right: the fingerprint of one as SHA256:…, or files as OpenSSH's
// known_hosts.
type Trust struct {
	Fingerprint string
	KnownHosts  []string
}

// callback checks a host key, and algorithms are what to ask the server for so that it
// shows one that can be checked; nil for any.
func (t Trust) callback(address string) (check ssh.HostKeyCallback, algorithms []string, err error) {
	if t.Fingerprint != "" {
		if !strings.HasPrefix(t.Fingerprint, "SHA256:") {
			return nil, nil, fmt.Errorf("the fingerprint %q is not one of SHA-256, as SHA256:… is", t.Fingerprint)
		}
		return t.byFingerprint, slices.Clone(keyAlgorithms), nil
	}
	files := readable(t.KnownHosts)
	if len(files) == 0 {
		return func(_ string, _ net.Addr, key ssh.PublicKey) error { return unknown(key) }, nil, nil
	}
	known, err := knownhosts.New(files...)
	if err != nil {
		return nil, nil, fmt.Errorf("read the known host keys: %w", err)
	}
	return byFiles(known), listed(known, address), nil
}

func readable(files []string) []string {
	var out []string
	for _, file := range files {
		if _, err := os.Stat(file); err == nil {
			out = append(out, file)
		}
	}
	return out
}

// keyAlgorithms are those that a server with a known fingerprint is asked for, in this
// order; none is for certificates, whose fingerprint nobody knows.
var keyAlgorithms = []string{
	ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
}

// without are the algorithms that are not for a type of key.
func without(algorithms []string, keyType string) []string {
	return slices.DeleteFunc(algorithms, func(algorithm string) bool {
		return slices.Contains(algorithmsOf(keyType), algorithm)
	})
}

// algorithmsOf are those by which a key of a type signs.
func algorithmsOf(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

// otherKey is an ErrHostKey: the server has shown a key that the fingerprint is not of, and
// may have another one.
type otherKey struct{ key ssh.PublicKey }

func (e *otherKey) Error() string { return fmt.Sprintf("%v: it is %s", ErrHostKey, named(e.key)) }
func (e *otherKey) Unwrap() error { return ErrHostKey }

func named(key ssh.PublicKey) string { return key.Type() + " " + ssh.FingerprintSHA256(key) }

// noneOf is the ErrHostKey of a server whose keys are all others.
func noneOf(shown []ssh.PublicKey, fingerprint string) error {
	names := make([]string, len(shown))
	for i, key := range shown {
		names[i] = named(key)
	}
	return fmt.Errorf("%w: it is %s, and not %s", ErrHostKey, strings.Join(names, " or "), fingerprint)
}

func (t Trust) byFingerprint(_ string, _ net.Addr, key ssh.PublicKey) error {
	if ssh.FingerprintSHA256(key) != strings.TrimRight(t.Fingerprint, "=") {
		return &otherKey{key}
	}
	return nil
}

func byFiles(known ssh.HostKeyCallback) ssh.HostKeyCallback {
	return func(host string, addr net.Addr, key ssh.PublicKey) error {
		err := known(host, addr, key)
		var mismatch *knownhosts.KeyError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &mismatch) && len(mismatch.Want) == 0:
			return unknown(key)
		case errors.As(err, &mismatch):
			return fmt.Errorf("%w: it is %s %s, and another one is written in %s line %d; somebody may be listening, or the key was changed: ask who runs the server",
				ErrHostKey, key.Type(), ssh.FingerprintSHA256(key), mismatch.Want[0].Filename, mismatch.Want[0].Line)
		}
		return fmt.Errorf("%w: %w", ErrHostKey, err)
	}
}

func unknown(key ssh.PublicKey) error {
	return fmt.Errorf("%w: it is %s %s; if that is what the server's administrator tells, give --host-key %[3]s",
		ErrHostKey, key.Type(), ssh.FingerprintSHA256(key))
}

// listed are the algorithms of the keys that are known of an address: a server with several
// keys would otherwise show one that is not.
func listed(known ssh.HostKeyCallback, address string) []string {
	var mismatch *knownhosts.KeyError
	if !errors.As(known(address, &net.TCPAddr{}, nobodys{}), &mismatch) {
		return nil
	}
	var out []string
	for _, want := range mismatch.Want {
		out = append(out, algorithmsOf(want.Key.Type())...)
	}
	return out
}

// nobodys is a key that is in no list.
type nobodys struct{}

func (nobodys) Type() string                        { return "nobody's" }
func (nobodys) Marshal() []byte                     { return nil }
func (nobodys) Verify([]byte, *ssh.Signature) error { return ErrHostKey }
