package seal_test

import (
	"errors"
	"strings"
	"testing"

	"ss-setup/runtime/seal"
	"ss-setup/runtime/vfs/crypt"
	"ss-setup/runtime/vfs/keyring"
)

const place = "user/main/anna totp.secret"

func newBox(t testing.TB, dir string) *seal.Box {
	t.Helper()
	ring, err := keyring.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return seal.New(ring)
}

func TestASecretOpensOnlyInItsPlace(t *testing.T) {
	dir := t.TempDir()
	box := newBox(t, dir)
	sealed, err := box.Seal("geheimnis", place)
	if err != nil || strings.Contains(sealed, "geheim") {
		t.Fatal(sealed, err)
	}
	if got, err := newBox(t, dir).Open(sealed, place); err != nil || got != "geheimnis" {
		t.Errorf("after a restart: %q, %v", got, err)
	}
	if _, err := box.Open(sealed, "user/main/otto totp.secret"); !errors.Is(err, seal.ErrSealed) {
		t.Errorf("in another place: %v", err)
	}
	for i := range sealed {
		text := []byte(sealed)
		text[i] ^= 1
		if _, err := box.Open(string(text), place); !errors.Is(err, seal.ErrSealed) && !errors.Is(err, seal.ErrNoKey) {
			t.Fatalf("changed at %d: %v", i, err)
		}
	}
	if again, _ := box.Seal("geheimnis", place); again == sealed {
		t.Error("two seals are equal")
	}
	if _, err := newBox(t, t.TempDir()).Open(sealed, place); !errors.Is(err, seal.ErrNoKey) {
		t.Errorf("without the key ring: %v", err)
	}
}

// twoMasters is a ring whose newest key is the first.
type twoMasters []crypt.Key

func (m twoMasters) Master() (crypt.Key, error)    { return m[0], nil }
func (m twoMasters) Masters() ([]crypt.Key, error) { return m, nil }

func TestANewMasterKeyLeavesOldSecretsReadable(t *testing.T) {
	old, err := crypt.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	young, err := crypt.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := seal.New(twoMasters{old}).Seal("one", place)
	if err != nil {
		t.Fatal(err)
	}
	box := seal.New(twoMasters{young, old})
	if got, err := box.Open(sealed, place); got != "one" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if again, err := box.Seal("two", place); err != nil || !strings.HasPrefix(again, young.ID()+":") {
		t.Errorf("sealed as %q, %v", again, err)
	}
}

func FuzzOpen(f *testing.F) {
	box := newBox(f, f.TempDir())
	sealed, err := box.Seal("x", place)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add(":")
	f.Add("0a:AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := box.Open(text, place); err == nil && got != "x" {
			t.Errorf("%q opens as %q", text, got)
		}
	})
}
