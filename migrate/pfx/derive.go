package pfx

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
	"unicode/utf16"
)

// MaxRounds is the most that one password may be hashed for one key. Programs take
// between 1,000 and 600,000 by themselves.
const MaxRounds = 1_000_000

// maxSalt bounds salts, which are hashed as well.
const maxSalt = 1024

// Work is how much hashing may still be done, over all files and passwords: what a file
// asks for stands in the file.
type Work struct{ left int }

// NewWork allows a number of rounds. A million take about a fifth of a second.
func NewWork(rounds int) *Work { return &Work{rounds} }

// spend takes rounds for a key of some blocks.
func (w *Work) spend(rounds, blocks int) error {
	if rounds < 1 || rounds > MaxRounds {
		return fmt.Errorf("%w: it asks for %d rounds of hashing, and at most %d are done", ErrWork, rounds, MaxRounds)
	}
	if rounds*blocks > w.left {
		return fmt.Errorf("%w: too many passwords were tried", ErrWork)
	}
	w.left -= rounds * blocks
	return nil
}

// phrase is a password as the two ways of deriving keys take it.
type phrase struct {
	utf8 []byte
	// bmp is UTF-16 with an end; nil instead of an end alone is what some programs make
	// of an empty password.
	bmp []byte
}

func newPhrase(password string) phrase {
	p := phrase{utf8: []byte(password)}
	for _, u := range utf16.Encode([]rune(password)) {
		p.bmp = append(p.bmp, byte(u>>8), byte(u))
	}
	p.bmp = append(p.bmp, 0, 0)
	return p
}

// The purposes of a key in appendix B.3 of RFC 7292.
const (
	forKey byte = 1
	forIV  byte = 2
	forMAC byte = 3
)

// derive is the way of RFC 7292, appendix B.2.
func (w *Work) derive(sum func() hash.Hash, purpose byte, salt, password []byte, rounds, size int) ([]byte, error) {
	h := sum()
	u, v := h.Size(), h.BlockSize()
	if err := w.spend(rounds, (size+u-1)/u); err != nil {
		return nil, err
	}
	if len(salt) > maxSalt {
		return nil, fmt.Errorf("%w: its salt has %d bytes", ErrFormat, len(salt))
	}
	d := make([]byte, v)
	for i := range d {
		d[i] = purpose
	}
	in := append(repeat(salt, v), repeat(password, v)...)
	var out []byte
	for len(out) < size {
		h.Reset()
		h.Write(d)
		h.Write(in)
		a := h.Sum(nil)
		for range rounds - 1 {
			h.Reset()
			h.Write(a)
			a = h.Sum(a[:0])
		}
		out = append(out, a...)
		b := repeat(a, v)[:v]
		for at := 0; at < len(in); at += v {
			addOne(in[at:at+v], b)
		}
	}
	return out[:size], nil
}

// repeat is a text again and again, until a multiple of v is full.
func repeat(text []byte, v int) []byte {
	if len(text) == 0 {
		return nil
	}
	out := make([]byte, (len(text)+v-1)/v*v)
	for i := range out {
		out[i] = text[i%len(text)]
	}
	return out
}

// addOne adds b and one to a number of as many bytes, and forgets what is beyond.
func addOne(to, b []byte) {
	carry := uint(1)
	for i := len(to) - 1; i >= 0; i-- {
		carry += uint(to[i]) + uint(b[i])
		to[i] = byte(carry)
		carry >>= 8
	}
}

// The algorithms.
var (
	oidTripleDES    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 3}
	oidTwoDES       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 4}
	oidRC2Of128     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 5}
	oidRC2Of40      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 6}
	oidPBKDF2       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidPBES2        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBMAC1       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 14}
	oidTripleDESCBC = asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7}
	oidAES128CBC    = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	oidAES192CBC    = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}
	oidAES256CBC    = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// sums are the hashes, by the OIDs of themselves and of their HMAC.
var sums = []struct {
	plain, mac asn1.ObjectIdentifier
	sum        func() hash.Hash
}{
	{asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}, sha1.New},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, sha256.New},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}, sha512.New384},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}, sha512.New},
}

func sumOf(oid asn1.ObjectIdentifier) (func() hash.Hash, error) {
	for _, s := range sums {
		if s.plain.Equal(oid) || s.mac.Equal(oid) {
			return s.sum, nil
		}
	}
	return nil, unknown(oid)
}

func unknown(oid asn1.ObjectIdentifier) error {
	return fmt.Errorf("%w: the algorithm %s is not known here", ErrFormat, oid)
}

// pbes1 are the ciphers of RFC 7292, appendix C.
var pbes1 = []struct {
	oid  asn1.ObjectIdentifier
	size int // of the key
	make func(key []byte) (cipher.Block, error)
}{
	{oidTripleDES, 24, des.NewTripleDESCipher},
	{oidTwoDES, 16, func(key []byte) (cipher.Block, error) { return des.NewTripleDESCipher(append(key, key[:8]...)) }},
	{oidRC2Of128, 16, func(key []byte) (cipher.Block, error) { return newRC2(key), nil }},
	{oidRC2Of40, 5, func(key []byte) (cipher.Block, error) { return newRC2(key), nil }},
}

// pbes2 are the ciphers of RFC 8018.
var pbes2 = []struct {
	oid  asn1.ObjectIdentifier
	size int
	make func(key []byte) (cipher.Block, error)
}{
	{oidTripleDESCBC, 24, des.NewTripleDESCipher},
	{oidAES128CBC, 16, aes.NewCipher},
	{oidAES192CBC, 24, aes.NewCipher},
	{oidAES256CBC, 32, aes.NewCipher},
}

// decrypt opens what an algorithm and a password have closed. ErrPassword is a guess: of
// a wrong password one in 256 gives something.
func (w *Work) decrypt(algorithm pkix.AlgorithmIdentifier, data []byte, p phrase) ([]byte, error) {
	block, iv, err := w.cipher(algorithm, p)
	if err != nil {
		return nil, err
	}
	size := block.BlockSize()
	if len(iv) != size || len(data) == 0 || len(data)%size != 0 {
		return nil, fmt.Errorf("%w: what is encrypted is no whole number of blocks", ErrFormat)
	}
	out := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(out, data)
	n := int(out[len(out)-1])
	if n == 0 || n > size {
		return nil, ErrPassword
	}
	for _, b := range out[len(out)-n:] {
		if int(b) != n {
			return nil, ErrPassword
		}
	}
	return out[:len(out)-n], nil
}

func (w *Work) cipher(algorithm pkix.AlgorithmIdentifier, p phrase) (cipher.Block, []byte, error) {
	if algorithm.Algorithm.Equal(oidPBES2) {
		return w.cipherOfPBES2(algorithm, p)
	}
	for _, c := range pbes1 {
		if !c.oid.Equal(algorithm.Algorithm) {
			continue
		}
		var params struct {
			Salt   []byte
			Rounds int
		}
		if err := unmarshal(algorithm.Parameters.FullBytes, &params); err != nil {
			return nil, nil, err
		}
		key, err := w.derive(sha1.New, forKey, params.Salt, p.bmp, params.Rounds, c.size)
		if err != nil {
			return nil, nil, err
		}
		iv, err := w.derive(sha1.New, forIV, params.Salt, p.bmp, params.Rounds, 8)
		if err != nil {
			return nil, nil, err
		}
		block, err := c.make(key)
		return block, iv, err
	}
	return nil, nil, unknown(algorithm.Algorithm)
}

func (w *Work) cipherOfPBES2(algorithm pkix.AlgorithmIdentifier, p phrase) (cipher.Block, []byte, error) {
	var params struct{ KDF, Scheme pkix.AlgorithmIdentifier }
	if err := unmarshal(algorithm.Parameters.FullBytes, &params); err != nil {
		return nil, nil, err
	}
	for _, c := range pbes2 {
		if !c.oid.Equal(params.Scheme.Algorithm) {
			continue
		}
		key, err := w.pbkdf2(params.KDF, p, c.size)
		if err != nil {
			return nil, nil, err
		}
		block, err := c.make(key)
		return block, params.Scheme.Parameters.Bytes, err
	}
	return nil, nil, unknown(params.Scheme.Algorithm)
}

// pbkdf2 derives a key of size bytes, or of as many as the parameters say if that is 0.
func (w *Work) pbkdf2(algorithm pkix.AlgorithmIdentifier, p phrase, size int) ([]byte, error) {
	if !algorithm.Algorithm.Equal(oidPBKDF2) {
		return nil, unknown(algorithm.Algorithm)
	}
	var params struct {
		Salt   asn1.RawValue
		Rounds int
		Size   int                      `asn1:"optional"`
		PRF    pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	if err := unmarshal(algorithm.Parameters.FullBytes, &params); err != nil {
		return nil, err
	}
	if size == 0 {
		size = params.Size
	}
	if params.Salt.Tag != asn1.TagOctetString || len(params.Salt.Bytes) > maxSalt || size < 1 || size > sha512.Size {
		return nil, fmt.Errorf("%w: parameters of PBKDF2 that nobody has", ErrFormat)
	}
	sum := sha1.New
	if len(params.PRF.Algorithm) > 0 {
		var err error
		if sum, err = sumOf(params.PRF.Algorithm); err != nil {
			return nil, err
		}
	}
	if err := w.spend(params.Rounds, 2*((size+sum().Size()-1)/sum().Size())); err != nil {
		return nil, err
	}
	return pbkdf2.Key(sum, string(p.utf8), params.Salt.Bytes, params.Rounds, size)
}

// fits tells whether the password is the one that a PFX was closed with.
func (w *Work) fits(m macData, content []byte, p phrase) (bool, error) {
	sum, key, err := w.macKey(m, p)
	if err != nil {
		return false, err
	}
	mac := hmac.New(sum, key)
	mac.Write(content)
	return hmac.Equal(mac.Sum(nil), m.Mac.Digest), nil
}

func (w *Work) macKey(m macData, p phrase) (sum func() hash.Hash, key []byte, err error) {
	if !m.Mac.Algorithm.Algorithm.Equal(oidPBMAC1) {
		if sum, err = sumOf(m.Mac.Algorithm.Algorithm); err != nil {
			return nil, nil, err
		}
		key, err = w.derive(sum, forMAC, m.Salt, p.bmp, m.Rounds, sum().Size())
		return sum, key, err
	}
	var params struct{ KDF, MAC pkix.AlgorithmIdentifier }
	if err := unmarshal(m.Mac.Algorithm.Parameters.FullBytes, &params); err != nil {
		return nil, nil, err
	}
	if sum, err = sumOf(params.MAC.Algorithm); err != nil {
		return nil, nil, err
	}
	key, err = w.pbkdf2(params.KDF, p, 0)
	return sum, key, err
}

// unmarshal reads one value of DER, and nothing behind it.
func unmarshal(raw []byte, to any) error {
	rest, err := asn1.Unmarshal(raw, to)
	if err == nil && len(rest) > 0 {
		err = errors.New("something follows")
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return nil
}
