package auth

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// cheap keeps the tests quick.
var cheap = Params{Memory: 64, Time: 1, Threads: 1}

func hasher(t testing.TB, p Params) *Hasher {
	t.Helper()
	h, err := NewHasher(p)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestAHashFitsItsPasswordAndNoOther(t *testing.T) {
	h := hasher(t, cheap)
	hash, err := h.Hash(t.Context(), []byte("päss wörd"))
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Fatalf("%s, %v", hash, err)
	}
	if old, err := h.Check(t.Context(), hash, []byte("päss wörd")); old || err != nil {
		t.Errorf("its own password: %v, %v", old, err)
	}
	for _, wrong := range []string{"", "pass word", "päss wörd ", strings.Repeat("x", MaxPassword+1)} {
		if _, err := h.Check(t.Context(), hash, []byte(wrong)); !errors.Is(err, ErrWrong) {
			t.Errorf("%.20q: %v", wrong, err)
		}
	}
	again, _ := h.Hash(t.Context(), []byte("päss wörd"))
	if again == hash {
		t.Error("two hashes of one password are the same")
	}
}

func TestHashesOfOtherMakersAreChecked(t *testing.T) {
	h := hasher(t, cheap)
	ofBcrypt, err := bcrypt.GenerateFromPassword([]byte("Hello world!"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		hash, password string
		old            bool
	}{
		// From the test vectors of the reference implementation of argon2.
		"argon2id":     {"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password", false},
		"bcrypt":       {string(ofBcrypt), "Hello world!", true},
		"sha256-crypt": {"$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!", true},
		"sha512-crypt": {"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1", "Hello world!", true},
	} {
		if old, err := h.Check(t.Context(), c.hash, []byte(c.password)); err != nil || old != c.old || !h.Known(c.hash) {
			t.Errorf("%s: old %v, %v", name, old, err)
		}
		if _, err := h.Check(t.Context(), c.hash, []byte("another")); !errors.Is(err, ErrWrong) {
			t.Errorf("%s with another password: %v", name, err)
		}
	}
}

func TestAHashThatIsUnknownOrAsksForTooMuchIsNotComputed(t *testing.T) {
	h := hasher(t, cheap)
	for _, hash := range []string{
		"", "plain", "$3$$irWbblnpmw.5z7wgBnprh0", "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ",
		"$argon2id$v=16$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=64,t=4000000000,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=64,t=1,p=0$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=64,t=1,p=1,x=2$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$6$rounds=999999999$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO/O817G3uBnIFNjnQJuesI68OTLiBFdcbYEdFCoEOfaS35inz1",
		"$2a$31$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"$2x$31$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"$pbkdf2-sha224$2000000000$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"$pbkdf2-sha384$2000000000$c2FsdHNhbHRzYWx0c2FsdA$" + strings.Repeat("A", 64),
		"$y$jLT$N9qo8uLOickgx2ZMRZoMye$5uKuDxVSvS8ZEx1wRLZoUoUvaAgDlNS9S8UyKYXxMS5",
	} {
		if h.Known(hash) {
			t.Errorf("%q is known", hash)
			continue
		}
		if _, err := h.Check(t.Context(), hash, []byte("x")); !errors.Is(err, ErrScheme) {
			t.Errorf("%q: %v", hash, err)
		}
	}
	if usual := "$y$j9T$N9qo8uLOickgx2ZMRZoMye$5uKuDxVSvS8ZEx1wRLZoUoUvaAgDlNS9S8UyKYXxMS5"; !h.Known(usual) {
		t.Errorf("%q is not known", usual)
	}
}

func TestManyAtOnceWaitAndTooManyAreSentAway(t *testing.T) {
	h := hasher(t, DefaultParams)
	for range cap(h.running) {
		h.running <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := h.Check(ctx, h.dummy, []byte("x")); !errors.Is(err, ErrBusy) {
		t.Errorf("while all places are taken: %v", err)
	}
	for range cap(h.waiting) {
		h.waiting <- struct{}{}
	}
	if _, err := h.Check(t.Context(), h.dummy, []byte("x")); !errors.Is(err, ErrBusy) {
		t.Errorf("while too many wait: %v", err)
	}
}

const rfcSecret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" // 12345678901234567890

func TestCodesAreThoseOfRFC6238(t *testing.T) {
	for at, code := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		if step, err := CheckCode(rfcSecret, code, time.Unix(at, 0), 0); err != nil || step != at/30 {
			t.Errorf("at %d: step %d, %v", at, step, err)
		}
	}
}

func TestACodeFitsOneStepAroundItsTimeAndOnce(t *testing.T) {
	now := time.Unix(1234567890, 0)
	for off, fits := range map[time.Duration]bool{-60 * time.Second: false, -30 * time.Second: true, 0: true, 30 * time.Second: true, 60 * time.Second: false} {
		if _, err := CheckCode(rfcSecret, "005924", now.Add(off), 0); (err == nil) != fits {
			t.Errorf("%s off: %v", off, err)
		}
	}
	step, _ := CheckCode(rfcSecret, " 005 924", now, 0)
	if _, err := CheckCode(rfcSecret, "005924", now, step); !errors.Is(err, ErrWrong) {
		t.Errorf("the second time: %v", err)
	}
	for _, code := range []string{"", "5924", "0059240", "00592x"} {
		if _, err := CheckCode(rfcSecret, code, now, 0); !errors.Is(err, ErrWrong) {
			t.Errorf("%q: %v", code, err)
		}
	}
	if _, err := CheckCode("short", "005924", now, 0); err == nil || strings.Contains(err.Error(), "short") {
		t.Errorf("a secret that is none: %v", err)
	}
}

func TestASecretIsShownAsAuthenticatorsReadIt(t *testing.T) {
	secret := NewSecret()
	if len(secret) != 32 {
		t.Errorf("a secret of %d letters", len(secret))
	}
	want := "otpauth://totp/SS%20Server:kim@example.com?algorithm=SHA1&digits=6&issuer=SS%20Server&period=30&secret=" + secret
	if got := SecretURI("SS Server", "kim@example.com", secret); got != want {
		t.Errorf("%s", got)
	}
}

func TestThePolicySaysAllThatIsMissing(t *testing.T) {
	p := Policy{MinLength: 10, Upper: true, Lower: true, Digit: true, Other: true}
	err := p.Check("kim", "kim")
	for _, want := range []string{"10 characters", "capital", "digit", "no letter", "user's name"} {
		if !errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %q in %v", want, err)
		}
	}
	for _, bad := range []string{"aaaaaaaaaaaa", strings.Repeat("xy", MaxPassword), "bad \xff utf-8 here"} {
		if DefaultPolicy().Check("kim", bad) == nil {
			t.Errorf("%.20q passes", bad)
		}
	}
	for _, good := range []string{"correct horse", "Ünïcödé-Pass1"} {
		if err := DefaultPolicy().Check("kim", good); err != nil {
			t.Error(err)
		}
	}
	if err := p.Check("kim", "Ab3$efghij"); err != nil {
		t.Error(err)
	}
}

// book keeps users in memory.
type book struct {
	mu    sync.Mutex
	users map[string]User
}

func (b *book) User(_ context.Context, name string) (User, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u, known := b.users[name]
	if !known {
		return User{}, ErrUnknown
	}
	return u, nil
}

func (b *book) change(name string, change func(*User)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.users[name]
	change(&u)
	b.users[name] = u
}

func (b *book) Rehash(_ context.Context, name, old, better string) error {
	b.change(name, func(u *User) {
		if u.Hash == old {
			u.Hash = better
		}
	})
	return nil
}

func (b *book) TakeStep(_ context.Context, name string, step int64) (first bool, _ error) {
	b.change(name, func(u *User) {
		if first = step > u.LastStep; first {
			u.LastStep = step
		}
	})
	return first, nil
}

func (b *book) SetPassword(_ context.Context, name, hash string) error {
	b.change(name, func(u *User) { u.Hash, u.MustChange = hash, false })
	return nil
}

// elsewhere is a directory that knows one password.
type elsewhere string

func (e elsewhere) Check(_ context.Context, _ string, password []byte) error {
	if string(password) != string(e) {
		return ErrWrong
	}
	return nil
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func gate(t *testing.T, u User) (*Gate, *book, *bytes.Buffer) {
	t.Helper()
	h := hasher(t, cheap)
	if u.Hash == "" && u.Directory == "" {
		u.Hash, _ = h.Hash(t.Context(), []byte("secret password"))
	}
	u.Name = "kim"
	b := &book{users: map[string]User{"kim": u}}
	var log bytes.Buffer
	return &Gate{
		Users: b, Hasher: h, Policy: DefaultPolicy(), Directories: map[string]Directory{"office": elsewhere("in the directory")},
		Log: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return noon },
	}, b, &log
}

func TestAPasswordOpensTheGateAndNothingElseDoes(t *testing.T) {
	g, _, _ := gate(t, User{})
	if err := g.Password(t.Context(), "kim", []byte("secret password")); err != nil {
		t.Error(err)
	}
	for _, c := range [][2]string{{"kim", "guess"}, {"kim", ""}, {"nobody", "secret password"}, {"", ""}} {
		if err := g.Password(t.Context(), c[0], []byte(c[1])); !errors.Is(err, ErrWrong) {
			t.Errorf("%q: %v", c, err)
		}
	}
}

func TestAnUnknownNameCostsWhatAKnownOneCosts(t *testing.T) {
	g, _, _ := gate(t, User{})
	g.Hasher = hasher(t, Params{Memory: 8 << 10, Time: 2, Threads: 1})
	hash, _ := g.Hasher.Hash(t.Context(), []byte("secret password"))
	g.Users.(*book).change("kim", func(u *User) { u.Hash = hash })
	// Turn by turn, and the best of many: others use this machine, too.
	known, unknown := time.Hour, time.Hour
	for range 15 {
		for name, best := range map[string]*time.Duration{"kim": &known, "nobody": &unknown} {
			start := time.Now()
			_ = g.Password(t.Context(), name, []byte("guess"))
			*best = min(*best, time.Since(start))
		}
	}
	if unknown < known/2 || unknown > known*2 {
		t.Errorf("known %s, unknown %s", known, unknown)
	}
}

func TestAnOldHashIsMadeAnewByALogInThatSucceeds(t *testing.T) {
	for name, hash := range map[string]string{
		"of another scheme": "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
		"with lower costs":  "",
	} {
		g, b, _ := gate(t, User{Hash: hash})
		password := "Hello world!"
		if hash == "" {
			password = "secret password"
			g.Hasher = hasher(t, Params{Memory: 128, Time: 1, Threads: 1})
		}
		before := b.users["kim"].Hash
		_ = g.Password(t.Context(), "kim", []byte("guess"))
		if b.users["kim"].Hash != before {
			t.Errorf("%s: a wrong password changed it", name)
		}
		if err := g.Password(t.Context(), "kim", []byte(password)); err != nil {
			t.Fatal(err)
		}
		after := b.users["kim"].Hash
		if old, err := g.Hasher.Check(t.Context(), after, []byte(password)); after == before || old || err != nil {
			t.Errorf("%s: it is %s, %v", name, after, err)
		}
	}
}

func TestAPasswordThatCannotBeCheckedIsNamedInTheLog(t *testing.T) {
	g, _, log := gate(t, User{Hash: "$3$$irWbblnpmw.5z7wgBnprh0"})
	if err := g.Password(t.Context(), "kim", []byte("password")); !errors.Is(err, ErrWrong) {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "kim") || !strings.Contains(log.String(), "set again") || strings.Contains(log.String(), "irWbblnpmw") {
		t.Errorf("the log has %q", log)
	}
}

func TestAUserOfADirectoryIsCheckedThereAndNeverByAnEmptyPassword(t *testing.T) {
	g, _, _ := gate(t, User{Directory: "office"})
	if err := g.Password(t.Context(), "kim", []byte("in the directory")); err != nil {
		t.Error(err)
	}
	g.Directories["office"] = elsewhere("")
	if err := g.Password(t.Context(), "kim", nil); !errors.Is(err, ErrWrong) {
		t.Errorf("an empty password: %v", err)
	}
	delete(g.Directories, "office")
	if err := g.Password(t.Context(), "kim", []byte("in the directory")); !errors.Is(err, ErrWrong) {
		t.Errorf("without its profile: %v", err)
	}
}

func TestACodeOpensTheGateOnce(t *testing.T) {
	g, _, _ := gate(t, User{Secret: rfcSecret})
	g.Now = func() time.Time { return time.Unix(1234567890, 0) }
	if err := g.Code(t.Context(), "nobody", "005924"); !errors.Is(err, ErrWrong) {
		t.Error(err)
	}
	results := make(chan error)
	for range 10 {
		go func() { results <- g.Code(t.Context(), "kim", "005924") }()
	}
	taken := 0
	for range 10 {
		if <-results == nil {
			taken++
		}
	}
	if taken != 1 {
		t.Errorf("ten at once with one code: %d let in", taken)
	}
}

func TestWhoMayLogIn(t *testing.T) {
	home := netip.MustParseAddr("192.0.2.7")
	for name, c := range map[string]struct {
		user User
		want error
	}{
		"anybody":              {User{}, nil},
		"a disabled one":       {User{Disabled: true}, ErrDisabled},
		"one from tomorrow on": {User{From: noon.Add(24 * time.Hour)}, ErrNotYet},
		"one from now on":      {User{From: noon}, nil},
		"one until now":        {User{Until: noon}, ErrOver},
		"one until tomorrow":   {User{Until: noon.Add(24 * time.Hour)}, nil},
		"one from elsewhere":   {User{Allow: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}, ErrAddress},
		"one from home":        {User{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, nil},
		"one who must change":  {User{MustChange: true}, ErrMustChange},
		"one with an old one":  {User{Changed: noon.Add(-100 * 24 * time.Hour)}, ErrMustChange},
		"one with a new one":   {User{Changed: noon.Add(-10 * 24 * time.Hour)}, nil},
	} {
		g, _, _ := gate(t, c.user)
		g.Policy.MaxAge = 90 * 24 * time.Hour
		for _, from := range []netip.Addr{home, netip.MustParseAddr("::ffff:192.0.2.7")} {
			if _, err := g.MayLogIn(t.Context(), "kim", from, true); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		}
	}
	g, _, _ := gate(t, User{MustChange: true})
	if _, err := g.MayLogIn(t.Context(), "kim", home, false); err != nil {
		t.Errorf("by key, with a password that must be changed: %v", err)
	}
	if _, err := g.MayLogIn(t.Context(), "nobody", home, false); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}

func TestAChosenPasswordMustBeGoodAndAnother(t *testing.T) {
	g, _, _ := gate(t, User{MustChange: true})
	for _, bad := range []string{"short", "secret password"} {
		if err := g.ChangePassword(t.Context(), "kim", []byte(bad)); !errors.Is(err, ErrPolicy) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := g.ChangePassword(t.Context(), "kim", []byte("another password")); err != nil {
		t.Fatal(err)
	}
	if err := g.Password(t.Context(), "kim", []byte("another password")); err != nil {
		t.Error(err)
	}
	if _, err := g.MayLogIn(t.Context(), "kim", netip.Addr{}, true); err != nil {
		t.Error(err)
	}
}

func TestAProfileThatCannotWorkIsRefusedWithTheReason(t *testing.T) {
	good := Profile{URLs: []string{"ldaps://ldap.example.com"}, Base: "dc=example,dc=com", Filter: "(|(uid={user})(mail={user}))"}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Profile){
		"no server":             func(p *Profile) { p.URLs = nil },
		"is not ldap":           func(p *Profile) { p.URLs = []string{"https://x"} },
		"sends passwords":       func(p *Profile) { p.URLs = []string{"ldap://x"} },
		"must have {user}":      func(p *Profile) { p.Filter = "(uid=kim)" },
		"cannot be read":        func(p *Profile) { p.Filter = "(uid={user}" },
		"no distinguished name": func(p *Profile) { p.Base = "example.com" },
	} {
		p := good
		change(&p)
		if _, err := NewLDAP(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func FuzzHashes(f *testing.F) {
	for _, seed := range []string{
		"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$6$rounds=5000$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO/O817G3uBnIFNjnQJuesI68OTLiBFdcbYEdFCoEOfaS35inz1",
		"$2a$04$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy", "$pbkdf2-sha256$1000$c2FsdHNhbHQ$AAAA", "$scrypt$ln=4,r=8,p=1$c2FsdA$AAAA", "$",
	} {
		f.Add(seed)
	}
	h := hasher(f, cheap)
	f.Fuzz(func(t *testing.T, hash string) { h.Known(hash) })
}

func TestTheNamesOfAPersonAreThoseThatTheFilterCompares(t *testing.T) {
	for filter, want := range map[string]string{
		"(uid={user})": "uid", "(&(objectClass=person)(|(sAMAccountName={user})( mail={user})(cn=x)))": "sAMAccountName mail",
		"(cn=*{user}*)": "", "(memberOf=cn={user},dc=x)": "",
	} {
		if got := strings.Join(Profile{Filter: filter}.nameAttributes(), " "); got != want {
			t.Errorf("%s: %q, want %q", filter, got, want)
		}
	}
}
