package hostkey

import (
	"errors"
	"fmt"
	"math/big"
	"sync"
)

// Sizes of RSA keys: below the one they can be broken with effort, above the other a
// login takes a second of work.
const (
	minRSA = 2048
	maxRSA = 16384
)

// minExponent lets those pass that programs have used: 17, 35 of old ssh-keygen, 37 of
// PuTTY, 65537.
const minExponent = 17

// Code is a verdict for programs.
type Code string

// The verdicts.
const (
	Fine       Code = "ok"
	Unreadable Code = "unreadable"
	Encrypted  Code = "encrypted"
	WrongCurve Code = "curve"
	IsDSA      Code = "dsa"
	TooSmall   Code = "size"
	TooLarge   Code = "too-large"
	Exponent   Code = "exponent"
	ROCA       Code = "roca"
	Factors    Code = "factors"
	Listed     Code = "listed"
	Shared     Code = "shared"
	Mismatch   Code = "mismatch"
)

// Verdict says whether a key may be used, and if not, why and what to do.
type Verdict struct {
	Code   Code   `json:"code"`
	Reason string `json:"reason,omitempty"`
	Cure   string `json:"cure,omitempty"`
}

// OK tells whether the key may be used.
func (v Verdict) OK() bool { return v.Code == Fine }

const makeNew = "use a new ed25519 or ecdsa key in its place and tell the clients its fingerprint"

// Judge judges a key. known, if not nil, are fingerprints of keys that others know the
// private half of.
func (k *Key) Judge(known *Denylist) Verdict {
	switch {
	case k.Type == DSA:
		return Verdict{IsDSA, fmt.Sprintf("DSA keys (this one of %d bits) are broken, and no client of today takes them", k.Bits), makeNew}
	case k.Type == RSA:
		if v := judgeRSA(k.rsa.N, k.rsa.E); !v.OK() {
			return v
		}
	}
	if list, listed := known.Find(k); listed {
		return Verdict{Listed, fmt.Sprintf("it is on the list %s of keys whose private half others have, as of those made on Debian between 2006 and 2008", list), makeNew}
	}
	if err := k.provesItself(); err != nil {
		return Verdict{Mismatch, fmt.Sprintf("its private half does not fit the public one: %v", err), makeNew}
	}
	return Verdict{Code: Fine}
}

// JudgeError is the verdict on what Parse could not read.
func JudgeError(err error) Verdict {
	switch {
	case errors.Is(err, ErrEncrypted):
		return Verdict{Encrypted, err.Error(), "give the passphrase, or take it off first"}
	case errors.Is(err, ErrCurve):
		return Verdict{WrongCurve, err.Error(), makeNew}
	}
	return Verdict{Unreadable, err.Error(), "give the file of a host key, or let the server make a new one"}
}

func judgeRSA(n *big.Int, e int) Verdict {
	switch bits := n.BitLen(); {
	case bits < minRSA:
		return Verdict{TooSmall, fmt.Sprintf("an RSA key of %d bits can be broken; at least %d are needed", bits, minRSA), makeNew}
	case bits > maxRSA:
		return Verdict{TooLarge, fmt.Sprintf("an RSA key of %d bits makes logins very slow; at most %d are taken", bits, maxRSA), makeNew}
	case e < 2 || e%2 == 0:
		return Verdict{Exponent, fmt.Sprintf("the exponent %d makes the key useless", e), makeNew}
	case e < minExponent:
		return Verdict{Exponent, fmt.Sprintf("with the exponent %d signatures can be forged for clients that check their padding carelessly (CVE-2006-4339)", e), makeNew}
	case isROCA(n):
		return Verdict{ROCA, "it was made by a chip or library whose keys can be broken (ROCA, CVE-2017-15361)", makeNew}
	case hasSmallFactor(n):
		return Verdict{Factors, "its modulus has a small factor", makeNew}
	case hasCloseFactors(n):
		return Verdict{Factors, "the two factors of its modulus lie so close together that they can be found", makeNew}
	}
	return Verdict{Code: Fine}
}

// provesItself signs and verifies: a private half of another key would not be noticed
// before the first client.
func (k *Key) provesItself() error {
	if k.private == nil {
		return nil
	}
	signer, err := k.Signer()
	if err != nil {
		return err
	}
	const text = "ss-server host key"
	signature, err := signer.Sign(nil, []byte(text))
	if err != nil {
		return err
	}
	return k.public.Verify([]byte(text), signature)
}

// primesUpTo sieves.
func primesUpTo(limit int) []int {
	composite := make([]bool, limit+1)
	var out []int
	for p := 2; p <= limit; p++ {
		if composite[p] {
			continue
		}
		out = append(out, p)
		for q := p * p; q <= limit; q += p {
			composite[q] = true
		}
	}
	return out
}

// rocaResidues are the test that the discoverers of ROCA published: the
// primes of such keys are k*M + (65537^a mod M), M the product of the first primes, so
// that the modulus is a power of 65537 modulo each of these. The chance of another key
// to be so is below 2^-27 for the first 39 primes.
var rocaResidues = sync.OnceValue(func() map[int][]bool {
	out := map[int][]bool{}
	for _, p := range primesUpTo(167) {
		powers := make([]bool, p)
		for x := 1 % p; !powers[x]; x = x * 65537 % p {
			powers[x] = true
		}
		out[p] = powers
	}
	return out
})

func isROCA(n *big.Int) bool {
	var rest big.Int
	for p, powers := range rocaResidues() {
		if !powers[rest.Mod(n, big.NewInt(int64(p))).Int64()] {
			return false
		}
	}
	return true
}

// smallProduct is the product of the primes below 2^16.
var smallProduct = sync.OnceValue(func() *big.Int {
	var product func(primes []int) *big.Int
	product = func(primes []int) *big.Int {
		if len(primes) == 1 {
			return big.NewInt(int64(primes[0]))
		}
		half := len(primes) / 2
		return new(big.Int).Mul(product(primes[:half]), product(primes[half:]))
	}
	return product(primesUpTo(1 << 16))
})

func hasSmallFactor(n *big.Int) bool {
	var rest big.Int
	return rest.GCD(nil, nil, n, rest.Mod(smallProduct(), n)).Cmp(big.NewInt(1)) != 0
}

// fermatRounds finds factors whose difference is near the fourth root of the modulus;
// keys made at random are beyond any number of rounds.
const fermatRounds = 100

func hasCloseFactors(n *big.Int) bool {
	a := new(big.Int).Sqrt(n)
	var square, rest, root big.Int
	if square.Mul(a, a).Cmp(n) == 0 {
		return true
	}
	for range fermatRounds {
		a.Add(a, big.NewInt(1))
		rest.Sub(square.Mul(a, a), n)
		if root.Sqrt(&rest); square.Mul(&root, &root).Cmp(&rest) == 0 {
			return true
		}
	}
	return false
}

// Codes are all verdicts.
func Codes() []Code {
	return []Code{Fine, Unreadable, Encrypted, WrongCurve, IsDSA, TooSmall, TooLarge, Exponent, ROCA, Factors, Listed, Shared, Mismatch}
}
