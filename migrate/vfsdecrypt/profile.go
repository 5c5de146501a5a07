package vfsdecrypt

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Mode is how blocks of AES are joined.
type Mode string

// The modes. CFB has feedback of a block, CFB8 of a byte.
const (
	ECB  Mode = "ecb"
	CBC  Mode = "cbc"
	CTR  Mode = "ctr"
	CFB  Mode = "cfb"
	CFB8 Mode = "cfb8"
	OFB  Mode = "ofb"
)

// Modes are all of them, the likely ones first.
var Modes = []Mode{CBC, CTR, ECB, CFB, OFB, CFB8}

// whole tells whether the mode takes only whole blocks, so that files are padded.
func (m Mode) whole() bool { return m == ECB || m == CBC }

// Padding is what fills the last block.
type Padding string

// The paddings.
const (
	PKCS7 Padding = "pkcs7" // n bytes of the value n
	Zeros Padding = "zero"  // zero bytes, up to 15
	NoPad Padding = "none"
)

// Paddings are those of modes that need one.
var Paddings = []Padding{PKCS7, NoPad, Zeros}

// Text is how the characters of the passphrase became bytes.
type Text string

// The encodings.
const (
	UTF8    Text = "utf8"
	UTF16   Text = "utf16le"
	Windows Text = "windows1252"
)

// Texts are all encodings.
var Texts = []Text{UTF8, UTF16, Windows}

// Where the initialisation vector comes from. Besides these it may be given, in hex.
const (
	IVNone    = "none"    // ECB has none
	IVZero    = "zero"    // zero bytes
	IVFile    = "file"    // the header's part iv
	IVDerived = "derived" // the bytes that the derivation makes after those of the key
	IVMD5     = "md5"     // the MD5 of the passphrase
)

// The parts of a header.
const (
	partSalted = "salted" // "Salted__" and 8 bytes of salt, as openssl enc writes
	partSalt   = "salt"   // so many bytes of salt
	partIV     = "iv"     // 16 bytes
	partLength = "length" // the length of the content, 8 bytes, little-endian
	partSkip   = "skip"   // so many bytes that mean nothing to us
)

const saltedMagic = "Salted__"

// Bounds of what a profile may ask for: one comes from a command line or a file.
const (
	maxIterations = 10_000_000
	maxHeader     = 64 << 10
	maxSalt       = 64
)

// ErrProfile marks a profile that says nothing or contradicts itself.
var ErrProfile = errors.New("wrong profile")

// Part is a piece of what stands in front of the encrypted content.
type Part struct {
	Kind string
	// Len is its length in bytes.
	Len int
}

// String is the part's word.
func (p Part) String() string {
	if p.Kind == partSalt || p.Kind == partSkip {
		return p.Kind + strconv.Itoa(p.Len)
	}
	return p.Kind
}

// Profile says how files were encrypted. docs/formats.md specifies it.
type Profile struct {
	Mode Mode
	// Bits is the length of the key: 128, 192 or 256.
	Bits int
	// KDF names the way from the passphrase to the key, one of KDFs.
	KDF string
	// Iterations is how often the derivation is repeated; 0 where it is not.
	Iterations int
	// Salt is the same for all files; nil when there is none or the header has it.
	Salt []byte
	Text Text
	// Header stands in front of the content, in this order.
	Header []Part
	// IV is one of the words above, or 32 hex digits.
	IV  string
	Pad Padding
}

// String is the profile as ParseProfile reads it: "aes-256-cbc kdf=… iv=…".
func (p Profile) String() string {
	words := []string{fmt.Sprintf("aes-%d-%s", p.Bits, p.Mode), "kdf=" + p.KDF}
	if p.Iterations > 0 {
		words = append(words, "iterations="+strconv.Itoa(p.Iterations))
	}
	if len(p.Salt) > 0 {
		words = append(words, "salt="+hex.EncodeToString(p.Salt))
	}
	if p.Text != UTF8 {
		words = append(words, "text="+string(p.Text))
	}
	if len(p.Header) > 0 {
		words = append(words, "header="+headerText(p.Header))
	}
	if p.Mode != ECB {
		words = append(words, "iv="+p.IV)
	}
	if p.Mode.whole() {
		words = append(words, "pad="+string(p.Pad))
	}
	return strings.Join(words, " ")
}

func headerText(header []Part) string {
	words := make([]string, len(header))
	for i, part := range header {
		words[i] = part.String()
	}
	return strings.Join(words, ",")
}

// ParseProfile reads a profile: words with blanks between. The first is the cipher; what
// is left out is text=utf8, no header, iv=zero and pad=pkcs7. It refuses with ErrProfile.
func ParseProfile(text string) (Profile, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return Profile{}, fmt.Errorf("%w: it is empty; write one as \"aes-256-cbc kdf=sha256 iv=zero\"", ErrProfile)
	}
	p := Profile{Text: UTF8, IV: IVZero, Pad: PKCS7}
	if err := p.setCipher(words[0]); err != nil {
		return Profile{}, err
	}
	if p.Mode == ECB {
		p.IV = IVNone
	}
	if !p.Mode.whole() {
		p.Pad = NoPad
	}
	seen := map[string]bool{}
	for _, word := range words[1:] {
		name, value, ok := strings.Cut(word, "=")
		if !ok || seen[name] {
			return Profile{}, fmt.Errorf("%w: %q is not NAME=VALUE, or it is there twice", ErrProfile, word)
		}
		seen[name] = true
		if err := p.set(name, value); err != nil {
			return Profile{}, err
		}
	}
	return p, p.Validate()
}

func (p *Profile) setCipher(word string) error {
	parts := strings.Split(word, "-")
	if len(parts) != 3 || parts[0] != "aes" {
		return fmt.Errorf("%w: it begins with %q; begin with the cipher, as aes-256-cbc", ErrProfile, word)
	}
	bits, err := strconv.Atoi(parts[1])
	if err != nil {
		return fmt.Errorf("%w: %q is no length of a key", ErrProfile, parts[1])
	}
	p.Bits, p.Mode = bits, Mode(parts[2])
	return nil
}

func (p *Profile) set(name, value string) (err error) {
	switch name {
	case "kdf":
		p.KDF = value
	case "iterations":
		p.Iterations, err = strconv.Atoi(value)
	case "salt":
		p.Salt, err = hex.DecodeString(value)
	case "text":
		p.Text = Text(value)
	case "header":
		p.Header, err = parseHeader(value)
	case "iv":
		p.IV = strings.ToLower(value)
	case "pad":
		p.Pad = Padding(value)
	default:
		return fmt.Errorf("%w: there is no %s=; there are kdf, iterations, salt, text, header, iv and pad", ErrProfile, name)
	}
	if err != nil {
		return fmt.Errorf("%w: %s=%s: %w", ErrProfile, name, value, err)
	}
	return nil
}

func parseHeader(text string) ([]Part, error) {
	if text == "none" {
		return nil, nil
	}
	var header []Part
	for word := range strings.SplitSeq(text, ",") {
		part, err := parsePart(word)
		if err != nil {
			return nil, err
		}
		header = append(header, part)
	}
	return header, nil
}

func parsePart(word string) (Part, error) {
	switch word {
	case partSalted:
		return Part{partSalted, len(saltedMagic) + 8}, nil
	case partIV:
		return Part{partIV, blockSize}, nil
	case partLength:
		return Part{partLength, 8}, nil
	}
	for _, kind := range []string{partSalt, partSkip} {
		if digits, ok := strings.CutPrefix(word, kind); ok {
			n, err := strconv.Atoi(digits)
			if err != nil || n < 1 || n > maxHeader {
				break
			}
			return Part{kind, n}, nil
		}
	}
	return Part{}, fmt.Errorf("%q is no part of a header: there are salted, saltN, iv, length and skipN", word)
}

// Validate tells what is wrong with a profile, with ErrProfile.
func (p Profile) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrProfile, fmt.Sprintf(format, args...))
	}
	salts, ivs, lengths, size := p.count()
	_, fixedIV := p.fixedIV()
	switch {
	case p.Bits != 128 && p.Bits != 192 && p.Bits != 256:
		return bad("a key of %d bits; AES has 128, 192 and 256", p.Bits)
	case !slices.Contains(Modes, p.Mode):
		return bad("there is no mode %q; there are ecb, cbc, ctr, cfb, cfb8 and ofb", p.Mode)
	case !slices.Contains(KDFs(), p.KDF):
		return bad("there is no kdf=%s; there are %s", p.KDF, strings.Join(KDFs(), ", "))
	case !slices.Contains(Texts, p.Text):
		return bad("there is no text=%s; there are utf8, utf16le and windows1252", p.Text)
	case p.Iterations < 0 || p.Iterations > maxIterations:
		return bad("iterations=%d; it is 1 to %d", p.Iterations, maxIterations)
	case p.stretches() != (p.Iterations > 0):
		return bad("iterations= belongs to kdf=evp-… and kdf=pbkdf2-…, and to these it must be given")
	case !p.stretches() && (salts > 0 || len(p.Salt) > 0):
		return bad("kdf=%s takes no salt", p.KDF)
	case salts > 1 || ivs > 1 || lengths > 1:
		return bad("header=%s has a part twice", headerText(p.Header))
	case salts > 0 && len(p.Salt) > 0:
		return bad("the salt is in the header, so that salt= cannot be given")
	case len(p.Salt) > maxSalt:
		return bad("the salt has %d bytes, at most %d are taken", len(p.Salt), maxSalt)
	case size > maxHeader:
		return bad("a header of %d bytes; at most %d are read", size, maxHeader)
	case (p.Mode == ECB) != (p.IV == IVNone):
		return bad("iv=none is for ecb, and ecb has no other")
	case (ivs > 0) != (p.IV == IVFile):
		return bad("iv=file and a part iv in the header belong together")
	case p.IV == IVDerived && !p.stretches():
		return bad("kdf=%s makes no bytes for iv=derived", p.KDF)
	case !slices.Contains([]string{IVNone, IVZero, IVFile, IVDerived, IVMD5}, p.IV) && !fixedIV:
		return bad("iv=%s is neither none, zero, file, derived or md5 nor 32 hex digits", p.IV)
	case !slices.Contains(Paddings, p.Pad):
		return bad("there is no pad=%s; there are pkcs7, zero and none", p.Pad)
	case !p.Mode.whole() && p.Pad != NoPad:
		return bad("%s needs no padding", p.Mode)
	}
	return nil
}

// count tells how many salts, vectors and lengths the header has, and its size.
func (p Profile) count() (salts, ivs, lengths, size int) {
	for _, part := range p.Header {
		size += part.Len
		switch part.Kind {
		case partSalt, partSalted:
			salts++
			if part.Len > maxSalt {
				size += maxHeader // a salt of kilobytes is a slip
			}
		case partIV:
			ivs++
		case partLength:
			lengths++
		}
	}
	return salts, ivs, lengths, size
}

func (p Profile) fixedIV() ([]byte, bool) {
	raw, err := hex.DecodeString(p.IV)
	return raw, err == nil && len(raw) == blockSize
}

// headerSize is how many bytes stand in front of the content.
func (p Profile) headerSize() int64 {
	_, _, _, size := p.count()
	return int64(size)
}
