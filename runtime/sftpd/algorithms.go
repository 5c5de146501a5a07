package sftpd

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Algorithms are the lists of a site. An empty list is that of [Modern].
type Algorithms struct {
	KeyExchanges []string
	Ciphers      []string
	MACs         []string
	// HostKeys are the algorithms by which the server signs.
	HostKeys []string
	// UserKeys are those by which users sign; ssh-rsa is the one with SHA-1.
	UserKeys []string
}

// Modern are the lists of a site that names none. chacha20-poly1305 is as strong and
// left out: on x86-64 it is far slower here, and many clients would prefer it.
func Modern() Algorithms {
	return Algorithms{
		KeyExchanges: []string{
			ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeCurve25519,
			ssh.KeyExchangeECDHP256, ssh.KeyExchangeECDHP384, ssh.KeyExchangeECDHP521,
			ssh.KeyExchangeDH16SHA512, ssh.KeyExchangeDH14SHA256,
		},
		Ciphers: []string{
			ssh.CipherAES128GCM, ssh.CipherAES256GCM,
			ssh.CipherAES128CTR, ssh.CipherAES192CTR, ssh.CipherAES256CTR,
		},
		MACs: []string{ssh.HMACSHA256ETM, ssh.HMACSHA512ETM, ssh.HMACSHA256, ssh.HMACSHA512},
		HostKeys: []string{
			ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
			ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
		},
		UserKeys: []string{
			ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384,
			ssh.KeyAlgoECDSA521, ssh.KeyAlgoSKECDSA256, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
		},
	}
}

// Possible are all algorithms that a site can switch on, the weak ones last.
func Possible() Algorithms {
	modern, more, weak := Modern(), ssh.SupportedAlgorithms(), ssh.InsecureAlgorithms()
	join := func(lists ...[]string) []string {
		var all []string
		for _, name := range slices.Concat(lists...) {
			if !slices.Contains(all, name) && !slices.Contains(unserved, name) && !isCertificate(name) {
				all = append(all, name)
			}
		}
		return all
	}
	return Algorithms{
		KeyExchanges: join(modern.KeyExchanges, more.KeyExchanges, weak.KeyExchanges),
		Ciphers:      join(modern.Ciphers, more.Ciphers, weak.Ciphers),
		MACs:         join(modern.MACs, more.MACs, weak.MACs),
		HostKeys:     join(modern.HostKeys, more.HostKeys, []string{ssh.KeyAlgoRSA}),
		UserKeys:     join(modern.UserKeys, more.PublicKeyAuths, weak.PublicKeyAuths),
	}
}

// unserved are algorithms that the library has for clients alone.
var unserved = []string{ssh.KeyExchangeDHGEXSHA256, ssh.InsecureKeyExchangeDHGEXSHA1}

func isCertificate(name string) bool { return strings.Contains(name, "-cert-") }

// strong are algorithms that are in no modern list for other reasons than weakness.
var strong = []string{ssh.CipherChaCha20Poly1305}

// lists names the lists as an administrator knows them.
func (a *Algorithms) lists() []namedList {
	return []namedList{
		{"key exchange", &a.KeyExchanges},
		{"cipher", &a.Ciphers},
		{"MAC", &a.MACs},
		{"host key algorithm", &a.HostKeys},
		{"user key algorithm", &a.UserKeys},
	}
}

type namedList struct {
	what string
	list *[]string
}

// Complete fills empty lists with the modern ones and refuses what cannot be had.
func (a Algorithms) Complete() (Algorithms, error) {
	modern, possible := Modern(), Possible()
	for i, l := range a.lists() {
		if len(*l.list) == 0 {
			*l.list = *modern.lists()[i].list
		}
		for _, name := range *l.list {
			if known := *possible.lists()[i].list; !slices.Contains(known, name) {
				return a, fmt.Errorf("%s %q is not known; there are %s", l.what, name, strings.Join(known, ", "))
			}
		}
	}
	return a, nil
}

// Weak are the algorithms in a that are only for clients that know nothing better.
func (a Algorithms) Weak() []string {
	var weak []string
	modern := Modern()
	for i, l := range a.lists() {
		for _, name := range *l.list {
			if !slices.Contains(*modern.lists()[i].list, name) && isWeak(name) {
				weak = append(weak, name)
			}
		}
	}
	return weak
}

// isWeak judges an algorithm by its name alone, which tells its kind, too.
func isWeak(name string) bool {
	supported := ssh.SupportedAlgorithms()
	if name == ssh.HMACSHA1 {
		return true // the library tolerates it
	}
	for _, list := range [][]string{supported.KeyExchanges, supported.Ciphers, supported.MACs, supported.HostKeys, supported.PublicKeyAuths, strong} {
		if slices.Contains(list, name) {
			return false
		}
	}
	return true
}

// signers are the host keys, each bound to the algorithms of the site.
func (a Algorithms) signers(keys []ssh.Signer) ([]ssh.Signer, error) {
	var bound []ssh.Signer
	for _, key := range keys {
		var usable []string
		for _, name := range a.HostKeys {
			if name == key.PublicKey().Type() || key.PublicKey().Type() == ssh.KeyAlgoRSA && strings.HasPrefix(name, "rsa-sha2-") {
				usable = append(usable, name)
			}
		}
		many, ok := key.(ssh.AlgorithmSigner)
		if len(usable) == 0 || !ok {
			continue // the site's list leaves this kind out
		}
		signer, err := ssh.NewSignerWithAlgorithms(many, usable)
		if err != nil {
			return nil, fmt.Errorf("host key %s: %w", ssh.FingerprintSHA256(key.PublicKey()), err)
		}
		bound = append(bound, signer)
	}
	if len(bound) == 0 {
		return nil, fmt.Errorf("no host key fits the host key algorithms %s; add a key or an algorithm", strings.Join(a.HostKeys, ", "))
	}
	return bound, nil
}
