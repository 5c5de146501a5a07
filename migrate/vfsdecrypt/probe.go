package vfsdecrypt

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

var (
	// ErrClear: what is to be decrypted is not encrypted.
	ErrClear = errors.New("the files are not encrypted")
	// ErrNotFound: under no profile do the samples become something that is recognised.
	ErrNotFound = errors.New("no profile fits")
	// ErrAmbiguous: several profiles fit alike.
	ErrAmbiguous = errors.New("several profiles fit alike")
)

// Sample is an encrypted file, or its beginning, to find the profile by.
type Sample struct {
	Name string
	// Data is the whole file if Complete, otherwise its beginning.
	Data     []byte
	Complete bool
	// Tail is the last two blocks of a file that is not Complete, and Size its length; none
	// if they are not known.
	Tail []byte
	Size int64
}

// Prober finds profiles.
type Prober struct {
	Passphrase string
	// Iterations are tried for derivations that repeat; DefaultIterations if empty.
	Iterations []int
	// Jobs is how many processors work on it; 1 if 0.
	Jobs int
}

// DefaultIterations are what programs have used.
var DefaultIterations = []int{1000, 10000, 100000}

// Found is the outcome of a search.
type Found struct {
	Profile Profile
	// Recognised is how many of the samples became something, of how many.
	Recognised, Samples int
	// Bits is how sure that is: the chance of an accident is 2 to the power of -Bits.
	Bits int
	// Tied are others that fit alike, when the error is ErrAmbiguous.
	Tied []Profile
}

// How sure a search must be: of the whole, and of the first before the second. There are
// some 2^14 profiles to be right by accident.
const (
	enough = 40
	lead   = 8
	// The first look is at so many bytes of so many samples; the second, which is at all
	// there is, is given so many profiles.
	glance  = 320
	glances = 6
	kept    = 64
)

// Find tries every profile it knows. It refuses with ErrClear, ErrNotFound and
// ErrAmbiguous.
func (p *Prober) Find(ctx context.Context, samples []Sample) (Found, error) {
	if len(samples) == 0 {
		return Found{}, fmt.Errorf("%w: there is no file to try it on", ErrNotFound)
	}
	if name, clear := mostClear(samples); clear {
		return Found{}, fmt.Errorf("%w: %s can be read as it is", ErrClear, name)
	}
	ranked, err := p.rank(ctx, samples)
	if err != nil {
		return Found{}, err
	}
	if len(ranked) == 0 || ranked[0].bits < enough {
		return Found{Samples: len(samples)}, fmt.Errorf("%w to the %d samples: the passphrase may be another one, or the profile one that is not tried by itself (give it with --profile)", ErrNotFound, len(samples))
	}
	best := ranked[0]
	found := Found{Profile: best.profile, Recognised: best.recognised, Samples: len(samples), Bits: best.bits}
	for _, other := range ranked[1:] {
		if other.bits > best.bits-lead && other.output != best.output {
			found.Tied = append(found.Tied, other.profile)
		}
	}
	if len(found.Tied) > 0 {
		return found, fmt.Errorf("%w to the %d samples; give more of them, best small files of text, PDF, PNG or of an office program", ErrAmbiguous, len(samples))
	}
	return found, nil
}

// Check tells how many of the samples become something under a profile that is given, of
// how many that should by their names.
func Check(k *Keys, samples []Sample) (recognised, of int) {
	for _, s := range samples {
		if kindOfName(s.Name) == "" {
			continue
		}
		of++
		if content, ok := k.try(s); ok {
			if _, bits := look(content, s.Complete); bits >= sure {
				recognised++
			}
		}
	}
	return recognised, of
}

// mostClear tells whether most samples are recognised before anything is done to them.
func mostClear(samples []Sample) (example string, clear bool) {
	n := 0
	for _, s := range samples {
		if isClear(s.Name, s.Data) {
			n, example = n+1, s.Name
		}
	}
	return example, 2*n > len(samples)
}

// isClear tells whether a file needs no decrypting: it is what its name promises already.
func isClear(name string, head []byte) bool {
	want := kindOfName(name)
	got, bits := look(head, false)
	return want != "" && got == want && bits >= sure
}

// ranking is a profile that was tried on all samples.
type ranking struct {
	profile    Profile
	order      int // as the profiles were thought of, the likely ones first
	bits       int
	recognised int
	output     [sha256.Size]byte
}

// rank tries all profiles at a glance, and what looks well in whole.
func (p *Prober) rank(ctx context.Context, samples []Sample) ([]ranking, error) {
	heads := make([]Sample, min(len(samples), glances))
	for i, s := range samples[:len(heads)] {
		heads[i] = Sample{Name: s.Name, Data: s.Data[:min(len(s.Data), glance)]}
	}
	first, err := p.try(ctx, p.profiles(samples), heads)
	if err != nil {
		return nil, err
	}
	var next []Profile
	for _, r := range first[:min(kept, len(first))] {
		next = append(next, padded(r.profile)...)
	}
	return p.try(ctx, next, samples)
}

// padded is a profile with each padding it may have.
func padded(p Profile) []Profile {
	if !p.Mode.whole() {
		return []Profile{p}
	}
	var out []Profile
	for _, pad := range Paddings {
		p.Pad = pad
		out = append(out, p)
	}
	return out
}

// try ranks profiles by what the samples become, best first; what becomes nothing under
// any is left out.
func (p *Prober) try(ctx context.Context, profiles []Profile, samples []Sample) ([]ranking, error) {
	var mu sync.Mutex
	var out []ranking
	var group sync.WaitGroup
	work := make(chan int)
	shared := &sharedKeys{passphrase: p.Passphrase, made: map[string]derived{}}
	for range max(1, p.Jobs) {
		group.Go(func() {
			for i := range work {
				if r := shared.rank(profiles[i], samples); r.bits > 0 {
					r.order = i
					mu.Lock()
					out = append(out, r)
					mu.Unlock()
				}
			}
		})
	}
	var err error
	for i := range profiles {
		if err = ctx.Err(); err != nil {
			break
		}
		work <- i
	}
	close(work)
	group.Wait()
	slices.SortFunc(out, func(a, b ranking) int {
		return cmp.Or(cmp.Compare(b.bits, a.bits), cmp.Compare(a.order, b.order))
	})
	return out, err
}

// rank tries one profile.
func (s *sharedKeys) rank(p Profile, samples []Sample) ranking {
	r := ranking{profile: p}
	keys, err := s.keys(p)
	if err != nil {
		return r
	}
	sum := sha256.New()
	for _, sample := range samples {
		content, ok := keys.try(sample)
		if !ok {
			r.bits -= 24
			continue
		}
		fmt.Fprintf(sum, "%d ", len(content))
		sum.Write(content)
		bits := keys.judge(sample, content)
		end, taken, ok := keys.end(sample)
		if !ok {
			r.bits -= 24
			continue
		}
		fmt.Fprintf(sum, "%d ", taken)
		sum.Write(end)
		if p.Mode.whole() {
			bits += padBits(p.Pad, taken)
		}
		r.bits += bits
		if bits >= sure {
			r.recognised++
		}
	}
	r.output = [sha256.Size]byte(sum.Sum(nil))
	return r
}

// judge tells how much speaks for what a sample became.
func (k *Keys) judge(s Sample, content []byte) int {
	name, bits := look(content, s.Complete)
	// Who skips the first block loses it, and the rest may say as much.
	for _, part := range k.Profile.Header {
		if part.Kind == partSkip && bits > 0 {
			bits -= min(2*part.Len, 48)
		}
	}
	if want := kindOfName(s.Name); bits > 0 && want != "" {
		if want == name {
			bits += 8
		} else {
			bits /= 2
		}
	}
	if !s.Complete || len(s.Data) == 0 {
		return bits
	}
	taken := len(s.Data) - int(k.Profile.headerSize()) - len(content)
	if k.hasLength() {
		return bits + 32
	}
	return bits + padBits(k.Profile.Pad, taken)
}

// padBits is how much a padding of so many bytes says.
func padBits(pad Padding, taken int) int {
	switch pad {
	case PKCS7:
		return min(8*taken, 64)
	case Zeros:
		return 4 * taken
	}
	return 0
}

// end is the last block of a sample of which only beginning and end are there, without
// its padding, and how much that was. ok is false for one that no file of the profile ends
// in. Modes that have no padding, and headers that say the length, leave nothing to tell.
func (k *Keys) end(s Sample) (block []byte, taken int, ok bool) {
	if len(s.Tail) < 2*blockSize || !k.Profile.Mode.whole() || k.hasLength() {
		return nil, 0, true
	}
	body := s.Size - k.Profile.headerSize()
	if body < 2*blockSize || body%blockSize != 0 {
		return nil, 0, false
	}
	h, err := k.Profile.readHeader(bytes.NewReader(s.Data))
	if err != nil {
		return nil, 0, false
	}
	key, _, err := k.keyed(h)
	if err != nil {
		return nil, 0, false
	}
	// What stands before the last block is its vector, where there is one.
	d, err := newDecrypter(k.Profile.Mode, key, s.Tail[:blockSize])
	if err != nil {
		return nil, 0, false
	}
	block = bytes.Clone(s.Tail[blockSize:])
	d.decrypt(block)
	c := &Content{pad: k.Profile.Pad, length: -1}
	rest, err := c.unpad(block)
	return rest, len(block) - len(rest), err == nil
}

// try decrypts a sample; false if it cannot be one of the profile.
func (k *Keys) try(s Sample) ([]byte, bool) {
	size := int64(len(s.Data))
	if s.Complete {
		content, err := k.Open(bytes.NewReader(s.Data), size)
		if err != nil {
			return nil, false
		}
		var out bytes.Buffer
		_, err = content.WriteTo(&out)
		return out.Bytes(), err == nil
	}
	if size < k.Profile.headerSize()+blockSize {
		return nil, false
	}
	content, err := k.openHead(s.Data)
	return content, err == nil
}

// openHead decrypts the beginning of a file.
func (k *Keys) openHead(data []byte) ([]byte, error) {
	from := bytes.NewReader(data)
	h, err := k.Profile.readHeader(from)
	if err != nil {
		return nil, err
	}
	key, iv, err := k.keyed(h)
	if err != nil {
		return nil, err
	}
	d, err := newDecrypter(k.Profile.Mode, key, iv)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(from)
	content = content[:len(content)&^(blockSize-1)]
	d.decrypt(content)
	return content, err
}

// sharedKeys derives each key once, however many profiles have it: some derivations are
// made to take long.
type sharedKeys struct {
	passphrase string
	mu         sync.Mutex
	made       map[string]derived
}

func (s *sharedKeys) keys(p Profile) (*Keys, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	k := &Keys{Profile: p, passphrase: s.passphrase}
	k.perFile = func(salt []byte) (derived, error) {
		if !p.stretches() {
			return s.derive(p, salt)
		}
		// A shorter key is the beginning of a longer one.
		longest := p
		longest.Bits = 256
		d, err := s.derive(longest, salt)
		all := slices.Concat(d.key, d.more)
		if err != nil {
			return d, err
		}
		return derived{all[:p.Bits/8], all[p.Bits/8:][:blockSize]}, nil
	}
	k.fixed = func() (derived, error) { return k.perFile(p.Salt) }
	return k, nil
}

func (s *sharedKeys) derive(p Profile, salt []byte) (derived, error) {
	name := fmt.Sprintf("%s %d %s %d %x", p.KDF, p.Iterations, p.Text, p.Bits, salt)
	s.mu.Lock()
	d, ok := s.made[name]
	s.mu.Unlock()
	if ok {
		return d, nil
	}
	d, err := p.derive(s.passphrase, salt)
	if err != nil {
		return d, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made[name] = d
	return d, nil
}

// headers are those that are tried.
var headers = []string{
	"none", "iv", "salted", "salt16,iv", "salt8,iv", "salt8", "salt16", "salted,iv",
	"length", "length,iv", "iv,length", "skip16", "skip4", "skip8", "skip32", "skip4,iv", "skip8,iv", "skip16,iv", "skip512",
}

// profiles are all that are tried on the samples, the likely ones first.
func (p *Prober) profiles(samples []Sample) []Profile {
	magic := true
	for _, s := range samples {
		magic = magic && bytes.HasPrefix(s.Data, []byte(saltedMagic))
	}
	var out []Profile
	for _, text := range p.texts() {
		for _, bits := range []int{256, 128, 192} {
			for _, kdf := range KDFs() {
				for _, header := range headers {
					// openssl's mark says it; who has it has no other header in front.
					if magic == strings.HasPrefix(header, partSalted) {
						out = p.appendProfiles(out, Profile{Text: text, Bits: bits, KDF: kdf}, header)
					}
				}
			}
		}
	}
	return out
}

// texts are the encodings under which the passphrase has different bytes.
func (p *Prober) texts() []Text {
	var out []Text
	seen := map[string]bool{}
	for _, text := range Texts {
		if secret, err := text.encode(p.Passphrase); err == nil && !seen[string(secret)] {
			seen[string(secret)] = true
			out = append(out, text)
		}
	}
	return out
}

// appendProfiles adds those that a derivation and a header leave: iterations, modes and
// vectors.
func (p *Prober) appendProfiles(out []Profile, base Profile, header string) []Profile {
	var err error
	if base.Header, err = parseHeader(header); err != nil {
		panic(err) // the list above is wrong
	}
	iterations := []int{0}
	switch {
	case strings.HasPrefix(base.KDF, evpPrefix):
		iterations = []int{1}
	case base.stretches():
		iterations = p.Iterations
		if len(iterations) == 0 {
			iterations = DefaultIterations
		}
	}
	for _, base.Iterations = range iterations {
		for _, base.Mode = range Modes {
			base.Pad = NoPad // what fills the last block is looked at later
			for _, base.IV = range []string{IVNone, IVFile, IVZero, IVDerived, IVMD5} {
				if base.Validate() == nil {
					out = append(out, base)
				}
			}
		}
	}
	return out
}
