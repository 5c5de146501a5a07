package protector

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func newForTest(t *testing.T, change func(*Options)) *Protector {
	t.Helper()
	o := Options{Settings: Defaults()}
	if change != nil {
		change(&o)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func prefix(t *testing.T, text string) netip.Prefix {
	t.Helper()
	p, err := ParsePrefix(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var stranger = netip.MustParseAddr("203.0.113.9")

func offend(p *Protector, addr netip.Addr, o Offence, times int) (banned bool) {
	for range times {
		banned = p.Offend(addr, o)
	}
	return banned
}

func TestAnAddressIsBannedAtTheThresholdAndNotBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newForTest(t, nil)
		if offend(p, stranger, BadLogin, 9) || p.Admit(stranger) != nil {
			t.Error("banned below the threshold")
		}
		if !p.Offend(stranger, BadLogin) {
			t.Error("not banned at the threshold")
		}
		var blocked *Blocked
		if err := p.Admit(stranger); !errors.As(err, &blocked) || !blocked.Entry.Automatic {
			t.Errorf("admitted after its ban: %v", err)
		}
		if err := p.Admit(stranger.Next()); err != nil {
			t.Errorf("its neighbour is refused: %v", err)
		}
	})
}

func TestAScoreSinksWithTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newForTest(t, nil)
		for range 60 {
			if p.Offend(stranger, BadLogin) {
				t.Fatal("a mistake every two minutes led to a ban")
			}
			time.Sleep(2 * time.Minute)
		}
	})
}

func TestABanEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newForTest(t, nil)
		offend(p, stranger, BadLogin, 10)
		time.Sleep(29 * time.Minute)
		if p.Admit(stranger) == nil {
			t.Error("admitted before its ban was over")
		}
		time.Sleep(time.Hour)
		if err := p.Admit(stranger); err != nil {
			t.Errorf("refused after its ban: %v", err)
		}
	})
}

func TestWhoTriesDuringABanStaysAwayLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newForTest(t, nil)
		offend(p, stranger, BadLogin, 10)
		before := p.Entries()[0].Until
		for range 100 { // within a second it is one try
			_ = p.Admit(stranger)
		}
		if after := p.Entries()[0].Until; !after.Equal(before) {
			t.Errorf("tries in its first second lengthened the ban to %s", after)
		}
		time.Sleep(5 * time.Minute)
		_ = p.Admit(stranger)
		if got := p.Entries()[0].Until.Sub(before); got != 15*time.Minute {
			t.Errorf("the ban of 30 minutes grew by %s, want half", got)
		}
	})
}

func TestTheNextBanIsLongerUntilTheFirstIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newForTest(t, nil)
		lengths := func() time.Duration {
			offend(p, stranger, BadLogin, 10)
			e := p.Entries()[0]
			time.Sleep(time.Until(e.Until) + time.Minute)
			return e.Until.Sub(e.Added)
		}
		if first, second, third := lengths(), lengths(), lengths(); first != 30*time.Minute || second != 45*time.Minute || third != 67*time.Minute+30*time.Second {
			t.Errorf("bans of %s, %s, %s", first, second, third)
		}
		time.Sleep(24 * time.Hour)
		p.Sweep()
		if again := lengths(); again != 30*time.Minute {
			t.Errorf("after a day the ban is %s", again)
		}
	})
}

func TestNoBanGrowsBeyondTheLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newForTest(t, func(o *Options) { o.Settings.Growth = 100; o.Settings.MaxBan = 2 * time.Hour })
		for range 6 {
			offend(p, stranger, BadLogin, 10)
			for range 10 {
				time.Sleep(2 * time.Minute)
				_ = p.Admit(stranger)
			}
			e := p.Entries()[0]
			if got := e.Until.Sub(e.Added); got > 2*time.Hour {
				t.Fatalf("a ban of %s", got)
			}
			time.Sleep(time.Until(e.Until))
		}
	})
}

func TestASafeAddressIsNeverBanned(t *testing.T) {
	p := newForTest(t, func(o *Options) {
		o.Settings.Level = Paranoid
		o.Entries = []Entry{{List: Safe, Prefix: prefix(t, "203.0.113.0/24")}}
	})
	if offend(p, stranger, NoLogin, 10_000) {
		t.Error("banned")
	}
	if err := p.Admit(stranger); err != nil {
		t.Error(err)
	}
}

func TestABanEndsWhenItsAddressBecomesSafe(t *testing.T) {
	p := newForTest(t, nil)
	offend(p, stranger, BadLogin, 10)
	if err := p.Put(Entry{List: Safe, Prefix: prefix(t, "203.0.113.9")}); err != nil {
		t.Fatal(err)
	}
	if err := p.Admit(stranger); err != nil {
		t.Error(err)
	}
}

func TestAnAdministratorsBlockHoldsForSafeAndAllowedAddresses(t *testing.T) {
	p := newForTest(t, nil)
	for _, l := range []List{Safe, Allow, Block} {
		if err := p.Put(Entry{List: l, Prefix: prefix(t, "203.0.113.0/24")}); err != nil {
			t.Fatal(err)
		}
	}
	if p.Admit(stranger) == nil {
		t.Error("admitted")
	}
}

func TestWithAnAllowListOnlyItsAddressesAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newForTest(t, nil)
		_ = p.Put(Entry{List: Allow, Prefix: prefix(t, "198.51.100.0/24"), Until: time.Now().Add(time.Hour)})
		if p.Admit(stranger) == nil || p.Admit(netip.MustParseAddr("198.51.100.3")) != nil {
			t.Error("the allow list does not decide")
		}
		if !offend(p, netip.MustParseAddr("198.51.100.3"), BadLogin, 10) {
			t.Error("an allowed address cannot be banned")
		}
		time.Sleep(2 * time.Hour)
		if err := p.Admit(stranger); err != nil {
			t.Errorf("an allow list whose entries are over refuses: %v", err)
		}
	})
}

func TestWhoWouldBeLetInIsToldAndNothingIsCounted(t *testing.T) {
	p := newForTest(t, nil)
	in, out, blocked := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("192.0.2.9")
	if !p.Admits(in) || !p.Admits(out) {
		t.Error("without a list somebody is kept out")
	}
	for _, e := range []Entry{{List: Allow, Prefix: prefix(t, "192.0.2.0/24")}, {List: Block, Prefix: prefix(t, "192.0.2.9")}} {
		if err := p.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	for addr, want := range map[netip.Addr]bool{in: true, out: false, blocked: false, netip.MustParseAddr("::ffff:192.0.2.7"): true} {
		if got := p.Admits(addr); got != want || (p.Admit(addr) == nil) != want {
			t.Errorf("%s: %t", addr, got)
		}
	}
	for range 5 {
		p.Admits(blocked)
	}
	for _, e := range p.Entries() {
		if e.List == Block && e.Hits != 1 {
			t.Errorf("%d hits were counted", e.Hits)
		}
	}
}

func TestLevelsDecideWhatCounts(t *testing.T) {
	counts := map[Level][]Offence{
		Indulgent: {BadLogin},
		Normal:    {BadLogin, NoLogin, BadProtocol},
		Strict:    {BadLogin, NoLogin, BadProtocol, BadRequest},
		Paranoid:  {BadLogin, NoLogin, BadProtocol, BadRequest},
	}
	for _, level := range Levels() {
		banned := 0
		for _, o := range []Offence{BadLogin, NoLogin, BadProtocol, BadRequest} {
			p := newForTest(t, func(op *Options) { op.Settings.Level = level })
			if offend(p, stranger, o, 10) {
				banned++
			}
		}
		if banned != len(counts[level]) {
			t.Errorf("%s: %d offences lead to a ban, want %d", level, banned, len(counts[level]))
		}
	}
	p := newForTest(t, func(o *Options) { o.Settings.Level = Paranoid })
	if !offend(p, stranger, BadLogin, 5) {
		t.Error("paranoid does not count double")
	}
}

func TestIPv6IsJudgedByTheNetworkOfACustomer(t *testing.T) {
	p := newForTest(t, nil)
	addr := netip.MustParseAddr("2001:db8:1:2::1")
	for range 10 {
		p.Offend(addr, BadLogin)
		addr = addr.Next()
	}
	if p.Admit(netip.MustParseAddr("2001:db8:1:2:ffff::")) == nil {
		t.Error("another address of the /64 is admitted")
	}
	if err := p.Admit(netip.MustParseAddr("2001:db8:1:3::1")); err != nil {
		t.Error(err)
	}
}

func TestAnIPv4AddressInIPv6ClothesIsTheSame(t *testing.T) {
	p := newForTest(t, nil)
	offend(p, netip.MustParseAddr("::ffff:203.0.113.9"), BadLogin, 10)
	if p.Admit(stranger) == nil {
		t.Error("admitted")
	}
	if got := prefix(t, "::ffff:203.0.113.9/120"); got.String() != "203.0.113.0/24" {
		t.Errorf("the range reads as %s", got)
	}
}

type bookForTest map[netip.Prefix]Entry

func (b bookForTest) Put(e Entry) error                   { b[e.Prefix] = e; return nil }
func (b bookForTest) Remove(_ List, p netip.Prefix) error { delete(b, p); return nil }

func TestABanOutlivesARestart(t *testing.T) {
	book := bookForTest{}
	p := newForTest(t, func(o *Options) { o.Book = book })
	offend(p, stranger, BadLogin, 10)
	var kept []Entry
	for _, e := range book {
		kept = append(kept, e)
	}
	again := newForTest(t, func(o *Options) { o.Entries = kept; o.Book = book })
	if again.Admit(stranger) == nil {
		t.Error("admitted after the restart")
	}
	if there, err := again.Remove(Block, prefix(t, "203.0.113.9")); !there || err != nil || len(book) != 0 {
		t.Errorf("unban: %v, %v, left %v", there, err, book)
	}
	if err := again.Admit(stranger); err != nil {
		t.Error(err)
	}
}

func TestManyAddressesDoNotFillTheMemory(t *testing.T) {
	p := newForTest(t, nil)
	addr := netip.MustParseAddr("10.0.0.0")
	for range maxScores + 5000 {
		p.Offend(addr, BadLogin)
		addr = addr.Next()
	}
	if n := len(p.scores); n > maxScores {
		t.Errorf("%d addresses are watched", n)
	}
}

func TestSettingsThatMakeNoSenseAreRefused(t *testing.T) {
	for name, change := range map[string]func(*Settings){
		"level":     func(s *Settings) { s.Level = "mild" },
		"threshold": func(s *Settings) { s.Threshold = 0 },
		"window":    func(s *Settings) { s.Window = 0 },
		"ban":       func(s *Settings) { s.Ban = -1 },
		"growth":    func(s *Settings) { s.Growth = 1001 },
		"max ban":   func(s *Settings) { s.MaxBan = time.Minute },
	} {
		s := Defaults()
		change(&s)
		if s.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzParsePrefix(f *testing.F) {
	for _, seed := range []string{"192.0.2.7", "192.0.2.7/24", "2001:db8::/32", "::ffff:1.2.3.4/100", "fe80::1%eth0", "1.2.3.4/33", " 10.0.0.0/8 ", "::/0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePrefix(text)
		if err != nil {
			return
		}
		again, err := ParsePrefix(p.String())
		if err != nil || again != p || p != p.Masked() || p.Addr().Is4In6() {
			t.Errorf("%q reads as %s, then as %s, %v", text, p, again, err)
		}
	})
}

func TestWhatTheBookSaysIsHeldAndDroppedWithoutWritingItBack(t *testing.T) {
	book := bookForTest{}
	p := newForTest(t, func(o *Options) { o.Book = book })
	p.Hold(Entry{List: Block, Prefix: prefix(t, "203.0.113.0/24")})
	if !p.Refuses(stranger) || p.Admit(stranger) == nil {
		t.Error("it is not held")
	}
	p.Drop(Block, prefix(t, "203.0.113.0/24"))
	if p.Refuses(stranger) || p.Admit(stranger) != nil {
		t.Error("it is not dropped")
	}
	p.Hold(Entry{List: Allow, Prefix: prefix(t, "198.51.100.0/24")})
	if !p.Refuses(stranger) {
		t.Error("who is missing on the allow list stays")
	}
	p.Drop(Allow, prefix(t, "198.51.100.0/24"))
	offend(p, stranger, BadLogin, 10)
	if p.Refuses(stranger) {
		t.Error("a ban made here counts as an administrator's")
	}
	if len(book) != 1 {
		t.Errorf("the book has %v, and there was one ban", book)
	}
	p.Drop(Block, customerOf(stranger))
	if p.Admit(stranger) != nil || p.Offend(stranger, BadLogin) {
		t.Error("whoever is let off does not begin anew")
	}
}

func TestABanMadeElsewhereDoesNotGrowHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newForTest(t, func(o *Options) { o.Book = refusing{t} })
		until := time.Now().Add(time.Hour)
		p.Hold(Entry{List: Block, Prefix: prefix(t, stranger.String()), Automatic: true, Elsewhere: true, Added: time.Now(), Until: until})
		time.Sleep(30 * time.Minute)
		if p.Admit(stranger) == nil {
			t.Error("let in during the ban")
		}
		if got := p.Entries(); len(got) != 1 || !got[0].Until.Equal(until) {
			t.Errorf("%+v", got)
		}
		time.Sleep(24 * time.Hour)
		p.Sweep()
	})
}

// refusing is a book in which nothing may be written.
type refusing struct{ t *testing.T }

func (r refusing) Put(e Entry) error {
	r.t.Errorf("written: %+v", e)
	return nil
}

func (r refusing) Remove(_ List, p netip.Prefix) error {
	r.t.Errorf("removed: %s", p)
	return nil
}
