package setup

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/store"
)

var (
	desk   = netip.MustParseAddr("192.0.2.7")
	laptop = netip.MustParseAddr("192.0.2.8")
	local  = netip.MustParseAddr("127.0.0.1")
)

// inBubble runs a test with codes on a new store, under a clock that only moves when
// everybody waits, and with the same random numbers every time.
func inBubble(t *testing.T, fn func(*testing.T, *Codes, *store.Store)) {
	t.Helper()
	dir := t.TempDir()
	schema := store.Schema{Product: "test", File: "test.db", Migrations: []store.Migration{{
		Name: "first", Apply: func(tx *bbolt.Tx, _ store.Progress) error {
			_, err := tx.CreateBucket([]byte(Bucket))
			return err
		},
	}}}
	if _, err := schema.Migrate(dir, true, func(int64, int64, string) {}); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		st, err := schema.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		fn(t, New(st, rand.NewChaCha8([32]byte{1}), time.Now), st)
	})
}

func newCodeOf(t *testing.T, c *Codes) Code {
	t.Helper()
	code, err := c.Make()
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func TestCodeOpensOneSession(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Codes, _ *store.Store) {
		code := newCodeOf(t, c)
		if !regexp.MustCompile(`^[A-HJ-NP-Z2-9]{4}-[A-HJ-NP-Z2-9]{4}$`).MatchString(code.Code) {
			t.Fatalf("code %q", code.Code)
		}
		session, err := c.Redeem(code.Code, desk)
		if err != nil {
			t.Fatal(err)
		}
		if expires, ok := c.Session(session.Token); !ok || time.Until(expires) != SessionLife {
			t.Errorf("session until %v, %v", expires, ok)
		}
		if _, err := c.Redeem(code.Code, desk); !errors.Is(err, ErrInvalid) {
			t.Errorf("the used code again: got %v, want ErrInvalid", err)
		}
		if _, ok := c.Session("guess"); ok {
			t.Error("a guessed token is a session")
		}
		time.Sleep(SessionLife)
		if _, ok := c.Session(session.Token); ok {
			t.Error("the session did not end")
		}
	})
}

func TestCodeIsValidForFiveMinutes(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Codes, _ *store.Store) {
		code := newCodeOf(t, c)
		if life := time.Until(code.Expires); life != 5*time.Minute {
			t.Errorf("expires in %v", life)
		}
		time.Sleep(5*time.Minute - time.Second)
		if _, err := c.Redeem(code.Code, desk); err != nil {
			t.Errorf("a second before the end: %v", err)
		}
		code = newCodeOf(t, c)
		time.Sleep(5 * time.Minute)
		if _, err := c.Redeem(code.Code, desk); !errors.Is(err, ErrInvalid) {
			t.Errorf("at the end: got %v, want ErrInvalid", err)
		}
	})
}

func TestCodeSurvivesARestartOfTheServer(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Codes, st *store.Store) {
		code := newCodeOf(t, c)
		after := New(st, rand.NewChaCha8([32]byte{2}), time.Now)
		if _, err := after.Redeem(code.Code, desk); err != nil {
			t.Error(err)
		}
	})
}

func TestCodeOfAClockThatWasSetBackIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Codes, st *store.Store) {
		code := newCodeOf(t, c)
		back := New(st, rand.NewChaCha8([32]byte{2}), func() time.Time { return time.Now().Add(-time.Hour) })
		if _, err := back.Redeem(code.Code, desk); !errors.Is(err, ErrInvalid) {
			t.Errorf("got %v, want ErrInvalid", err)
		}
	})
}

func TestOnlyTheNewestCodeAndSessionAreValid(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Codes, _ *store.Store) {
		first, second := newCodeOf(t, c), newCodeOf(t, c)
		if _, err := c.Redeem(first.Code, desk); !errors.Is(err, ErrInvalid) {
			t.Errorf("the code before: got %v, want ErrInvalid", err)
		}
		one, err := c.Redeem(second.Code, desk)
		if err != nil {
			t.Fatal(err)
		}
		two, err := c.Redeem(newCodeOf(t, c).Code, laptop)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := c.Session(one.Token); ok {
			t.Error("the session before lives on")
		}
		if _, ok := c.Session(two.Token); !ok {
			t.Error("the new session does not live")
		}
	})
}

func TestCodeIsReadAsPeopleType(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Codes, _ *store.Store) {
		for _, typed := range []func(string) string{
			strings.ToLower,
			func(s string) string { return strings.ReplaceAll(s, "-", "") },
			func(s string) string { return " " + strings.ReplaceAll(s, "-", " - ") + "\t" },
		} {
			code := typed(newCodeOf(t, c).Code)
			if _, err := c.Redeem(code, local); err != nil {
				t.Errorf("%q: %v", code, err)
			}
			time.Sleep(window)
		}
	})
}

func TestStoreKnowsNoCode(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Codes, st *store.Store) {
		code := newCodeOf(t, c).Code
		content, err := os.ReadFile(st.Path())
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{code, strings.ReplaceAll(code, "-", "")} {
			if bytes.Contains(content, []byte(form)) {
				t.Errorf("the store contains %q", form)
			}
		}
	})
}

func TestStoreWithoutItsBucketIsToldWithTheCure(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Codes, st *store.Store) {
		if err := st.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(Bucket)) }); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Make(); err == nil || !strings.Contains(err.Error(), "ss-setup install --repair") {
			t.Errorf("make: %v", err)
		}
		if _, err := c.Redeem("ABCD-EFGH", desk); err == nil || errors.Is(err, ErrInvalid) {
			t.Errorf("redeem: %v", err)
		}
	})
}

func TestGuessingIsRateLimited(t *testing.T) {
	// Not even the form of a code: it counts all the same, and costs the tests no hashing.
	wrong := "AAAA"
	t.Run("an address has five attempts a minute", func(t *testing.T) {
		inBubble(t, func(t *testing.T, c *Codes, _ *store.Store) {
			code := newCodeOf(t, c).Code
			for range perAddress {
				if _, err := c.Redeem(wrong, desk); !errors.Is(err, ErrInvalid) {
					t.Fatal(err)
				}
			}
			time.Sleep(20 * time.Second)
			var wait *TooManyError
			if _, err := c.Redeem(code, desk); !errors.As(err, &wait) || wait.Wait != 40*time.Second {
				t.Errorf("the right code too soon: %v, want a wait of 40 s", err)
			}
			if _, err := c.Redeem(wrong, laptop); !errors.Is(err, ErrInvalid) {
				t.Errorf("another address: %v", err)
			}
			time.Sleep(wait.Wait)
			if _, err := c.Redeem(code, desk); err != nil {
				t.Errorf("after the wait: %v", err)
			}
		})
	})
	t.Run("many addresses share sixty, and cannot lock the machine's own admin out", func(t *testing.T) {
		inBubble(t, func(t *testing.T, c *Codes, _ *store.Store) {
			code := newCodeOf(t, c).Code
			tried := 0
			for i := range 200 {
				_, err := c.Redeem(wrong, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}))
				if errors.Is(err, ErrInvalid) {
					tried++
				}
			}
			if tried != overall {
				t.Errorf("%d attempts were looked at, want %d", tried, overall)
			}
			if _, err := c.Redeem(code, local); err != nil {
				t.Errorf("the machine itself: %v", err)
			}
		})
	})
	t.Run("an IPv6 network counts as one address", func(t *testing.T) {
		inBubble(t, func(t *testing.T, c *Codes, _ *store.Store) {
			var err error
			for i := range perAddress + 1 {
				addr := netip.MustParseAddr("2001:db8:0:7::1").As16()
				addr[15] = byte(i)
				_, err = c.Redeem(wrong, netip.AddrFrom16(addr))
			}
			if tooMany := new(TooManyError); !errors.As(err, &tooMany) {
				t.Errorf("got %v", err)
			}
		})
	})
	t.Run("an IPv4 address counts the same however it is written", func(t *testing.T) {
		if network(netip.MustParseAddr("::ffff:192.0.2.7")) != desk {
			t.Error("the mapped address is another one")
		}
	})
}

func TestEveryLetterIsAsLikely(t *testing.T) {
	seen := map[rune]int{}
	source := rand.NewChaCha8([32]byte{3})
	for range 4000 {
		code, err := newCode(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range code {
			seen[r]++
		}
	}
	if len(seen) != len(alphabet) {
		t.Fatalf("%d letters, want %d", len(seen), len(alphabet))
	}
	for r, n := range seen {
		if n < 850 || n > 1150 {
			t.Errorf("%c came %d times, want about 1000", r, n)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, seed := range []string{"ABCD-EFGH", "abcdefgh", " a b c d - e f g h ", "ABCD-EFG", "ABCDEFGHJ", "ſſſſſſſſ", strings.Repeat("A", 100), "\xff\xfe", "0000-1111"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := clean(typed)
		if !ok {
			return
		}
		if len(code) != codeLen || strings.Trim(code, alphabet) != "" {
			t.Errorf("%q became %q", typed, code)
		}
		if again, ok := clean(show(code)); !ok || again != code {
			t.Errorf("%q is shown as %q, which reads %q", code, show(code), again)
		}
	})
}
