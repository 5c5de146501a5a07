package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"github.com/go-crypt/crypt"
	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/pbkdf2"
	"github.com/go-crypt/crypt/algorithm/scrypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"golang.org/x/crypto/argon2"
)

// Params are the costs of argon2id.
type Params struct {
	Memory  uint32 // KiB
	Time    uint32
	Threads uint8
}

// DefaultParams are what OWASP asks for at least: 28 ms on a server of 2026. More memory
// would let a hundred log-ins at once take gigabytes.
var DefaultParams = Params{Memory: 19 << 10, Time: 2, Threads: 1}

// Bounds of what is computed for a hash that came from elsewhere.
const (
	maxMemory = 1 << 20 // KiB
	maxTime   = 20
	// MaxPassword is the longest password, in bytes.
	MaxPassword = 1024
)

const (
	saltSize = 16
	sumSize  = 32
)

// Errors of a check.
var (
	// ErrWrong is a password or code that is not right, or a user who does not exist.
	ErrWrong = errors.New("user name, password or code is wrong")
	// ErrBusy is too many log-ins at once.
	ErrBusy = errors.New("too many log-ins at once; try again")
	// ErrScheme is a hash that nothing here can check: the password must be set again.
	ErrScheme = errors.New("the password was stored in a way that this server does not know and must be set again")
)

// Hasher makes and checks hashes of passwords.
type Hasher struct {
	params  Params
	running chan struct{}
	waiting chan struct{}
	dummy   string
	legacy  *crypt.Decoder
}

// maxWaiting bounds those that wait for a place.
const maxWaiting = 200

// NewHasher makes a Hasher that computes as many hashes at once as there are processors.
func NewHasher(p Params) (*Hasher, error) {
	legacy := crypt.NewDecoder()
	err := errors.Join(
		bcrypt.RegisterDecoder(legacy), shacrypt.RegisterDecoder(legacy),
		pbkdf2.RegisterDecoder(legacy), scrypt.RegisterDecoder(legacy),
	)
	if err != nil {
		return nil, fmt.Errorf("prepare the schemes of old passwords: %w", err)
	}
	h := &Hasher{
		params: p, legacy: legacy,
		running: make(chan struct{}, runtime.GOMAXPROCS(0)), waiting: make(chan struct{}, maxWaiting),
	}
	// What an unknown user's password is compared with; nothing fits it.
	h.dummy = h.encode(p, make([]byte, saltSize), make([]byte, sumSize))
	return h, nil
}

// Hash makes the hash of a new password, as a string with its parameters.
func (h *Hasher) Hash(ctx context.Context, password []byte) (string, error) {
	if len(password) == 0 || len(password) > MaxPassword {
		return "", fmt.Errorf("a password has 1 to %d bytes", MaxPassword)
	}
	done, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	p := h.params
	return h.encode(p, salt, argon2.IDKey(password, salt, p.Time, p.Memory, p.Threads, sumSize)), nil
}

// enter waits for a place among those that compute.
func (h *Hasher) enter(ctx context.Context) (done func(), err error) {
	select {
	case h.waiting <- struct{}{}:
	default:
		return nil, ErrBusy
	}
	defer func() { <-h.waiting }()
	select {
	case h.running <- struct{}{}:
		return func() { <-h.running }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
	}
}

// Check compares a password with a hash. old tells that the hash should be made anew.
// The error is ErrWrong, ErrBusy or ErrScheme.
func (h *Hasher) Check(ctx context.Context, hash string, password []byte) (old bool, err error) {
	if len(password) == 0 || len(password) > MaxPassword {
		return false, ErrWrong
	}
	done, err := h.enter(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	if strings.HasPrefix(hash, v4Prefix) {
		return true, h.checkQuick(hash, password)
	}
	if check, ok := quick(hash); ok {
		return true, h.checkDigest(check, password)
	}
	if !strings.HasPrefix(hash, "$argon2id$") {
		return true, h.checkLegacy(hash, password)
	}
	p, salt, sum, err := decode(hash)
	if err != nil {
		return false, err
	}
	got := argon2.IDKey(password, salt, p.Time, p.Memory, p.Threads, uint32(len(sum)))
	if subtle.ConstantTimeCompare(got, sum) != 1 {
		return false, ErrWrong
	}
	return p.Memory < h.params.Memory || p.Time < h.params.Time, nil
}

// CheckNobody takes as long as Check and is always ErrWrong, or ErrBusy.
func (h *Hasher) CheckNobody(ctx context.Context, password []byte) error {
	_, err := h.Check(ctx, h.dummy, password)
	if err == nil {
		err = ErrWrong
	}
	return err
}

// Known tells whether Check can check a hash.
func (h *Hasher) Known(hash string) bool {
	if strings.HasPrefix(hash, "$argon2id$") {
		_, _, _, err := decode(hash)
		return err == nil
	}
	if salt, sum, ok := strings.Cut(strings.TrimPrefix(hash, v4Prefix), "$"); ok && strings.HasPrefix(hash, v4Prefix) {
		_, ok := V4Hash(salt, sum)
		return ok
	}
	if check, ok := quick(hash); ok {
		return check != nil
	}
	_, err := h.decodeLegacy(hash)
	return err == nil
}

// checkQuick checks a hash that takes no time, in the time of one that does: how long an
// answer takes tells nobody whose password is still kept in the old way.
func (h *Hasher) checkQuick(hash string, password []byte) error {
	h.takeTime(password)
	return checkV4(hash, password)
}

// checkDigest is the same for the quick hashes of other products; check is nil for what
// only looks like one.
func (h *Hasher) checkDigest(check func([]byte) bool, password []byte) error {
	if check == nil {
		return ErrScheme
	}
	h.takeTime(password)
	if !check(password) {
		return ErrWrong
	}
	return nil
}

func (h *Hasher) takeTime(password []byte) {
	p := h.params
	argon2.IDKey(password, make([]byte, saltSize), p.Time, p.Memory, p.Threads, sumSize)
}

func (h *Hasher) checkLegacy(hash string, password []byte) error {
	digest, err := h.decodeLegacy(hash)
	if err != nil {
		return err
	}
	if fits, err := digest.MatchBytesAdvanced(password); err != nil || !fits {
		return ErrWrong
	}
	return nil
}

func (h *Hasher) decodeLegacy(hash string) (algorithm.Digest, error) {
	digest, err := h.legacy.Decode(hash)
	if err != nil || tooCostly(hash) {
		return nil, ErrScheme // the library's error could quote the hash
	}
	return digest, nil
}

// maxIterations are those of PBKDF2.
const maxIterations = 10_000_000

// maxCosts are what a hash of another scheme may ask for, by how the number in it is
// introduced: a forged one could keep a processor busy for days.
var maxCosts = map[string]int{
	"$2$": 15, "$2a$": 15, "$2b$": 15, "$2x$": 15, "$2y$": 15, "rounds=": 1_000_000,
	"$pbkdf2-sha224$": maxIterations, "$pbkdf2-sha256$": maxIterations, "$pbkdf2-sha384$": maxIterations, "$pbkdf2-sha512$": maxIterations,
	"$pbkdf2-sha1$": maxIterations, "$pbkdf2$": maxIterations,
	"ln=": 18, ",r=": 16, ",p=": 16,
}

// yescryptCosts are those of yescrypt up to 256 MiB: it writes them as two digits in base
// 64, the power of two of the blocks less one and their size less one.
var yescryptCosts = regexp.MustCompile(`^\$y\$j[./0-9A-D][./0-9A-T]\$`)

func tooCostly(hash string) bool {
	if strings.HasPrefix(hash, "$y$") && !yescryptCosts.MatchString(hash) {
		return true
	}
	for before, most := range maxCosts {
		_, rest, found := strings.Cut(hash, before)
		if !found {
			continue
		}
		end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if cost, err := strconv.Atoi(rest[:max(end, 0)]); err != nil || cost > most {
			return true
		}
	}
	return false
}

var b64 = base64.RawStdEncoding

func (h *Hasher) encode(p Params, salt, sum []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.Memory, p.Time, p.Threads,
		b64.EncodeToString(salt), b64.EncodeToString(sum))
}

// decode reads $argon2id$v=19$m=..,t=..,p=..$salt$sum. Costs beyond reason are ErrScheme.
func decode(hash string) (p Params, salt, sum []byte, err error) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return p, nil, nil, ErrScheme
	}
	if p, err = decodeParams(parts[3]); err != nil {
		return p, nil, nil, err
	}
	if p.Memory == 0 || p.Memory > maxMemory || p.Time == 0 || p.Time > maxTime || p.Threads == 0 {
		return p, nil, nil, ErrScheme
	}
	salt, saltErr := b64.DecodeString(parts[4])
	sum, sumErr := b64.DecodeString(parts[5])
	if saltErr != nil || sumErr != nil || len(salt) < 8 || len(sum) < 16 || len(salt) > 64 || len(sum) > 64 {
		return p, nil, nil, ErrScheme
	}
	return p, salt, sum, nil
}

// decodeParams reads m=..,t=..,p=.. as Hash writes it, and nothing else.
func decodeParams(text string) (p Params, err error) {
	words := strings.Split(text, ",")
	if len(words) != 3 {
		return p, ErrScheme
	}
	var numbers [3]uint64
	for i, name := range []string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(words[i], name)
		numbers[i], err = strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || strconv.FormatUint(numbers[i], 10) != digits {
			return p, ErrScheme
		}
	}
	if numbers[2] > 255 {
		return p, ErrScheme
	}
	return Params{Memory: uint32(numbers[0]), Time: uint32(numbers[1]), Threads: uint8(numbers[2])}, nil
}
