package auth

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// published is a salt and a hash as the reference of the old REST interface shows them,
// for an Admin whose name and password are admin.
const (
	publishedSalt = "91227861"
	publishedHash = "dd10e5be0ffadd64c1e490fbdefa64d8eb4a21380e29d521d1f0affdb44afbe798b4c320ee24257813c6dce4ef43fc56e1f4c625e4a76559ec0372c1738b8728"
)

func cheapHasher(t *testing.T) *Hasher {
	t.Helper()
	h, err := NewHasher(Params{Memory: 64, Time: 1, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestAPasswordOfVersion4IsCheckedAndToBeMadeAnew(t *testing.T) {
	h := cheapHasher(t)
	hash, ok := V4Hash(publishedSalt, strings.ToUpper(publishedHash))
	if !ok || !h.Known(hash) {
		t.Fatalf("%q is not known", hash)
	}
	if old, err := h.Check(context.Background(), hash, []byte("admin")); err != nil || !old {
		t.Errorf("the right password: %v, %v", old, err)
	}
	for _, wrong := range []string{"Admin", "", "91227861admin", "admi"} {
		if _, err := h.Check(context.Background(), hash, []byte(wrong)); !errors.Is(err, ErrWrong) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	for _, bad := range []string{"$ss4-sha512$", "$ss4-sha512$x$ab", hash + "00", strings.ToUpper(hash), "$ss4-sha512$$" + publishedHash, "$ss4-sha512$a b$" + publishedHash} {
		if h.Known(bad) {
			t.Errorf("%q is known", bad)
		}
		if _, err := h.Check(context.Background(), bad, []byte("admin")); err == nil {
			t.Errorf("%q fits", bad)
		}
	}
}

func TestOnlyWhatVersion4WroteIsItsHash(t *testing.T) {
	for _, c := range [][2]string{{"", publishedHash}, {"a$b", publishedHash}, {strings.Repeat("a", 65), publishedHash}, {"a", "abcd"}, {"a", strings.Repeat("x", 128)}} {
		if hash, ok := V4Hash(c[0], c[1]); ok {
			t.Errorf("%q became %q", c, hash)
		}
	}
}

// oldUsers has one user, whose password came from version 4.
type oldUsers struct {
	Users
	user    User
	rehash  string
	checked string
}

func (o *oldUsers) User(context.Context, string) (User, error) { return o.user, nil }

func (o *oldUsers) Rehash(_ context.Context, _, old, better string) error {
	o.checked, o.rehash = old, better
	return nil
}

func TestAnOldPasswordThatFailsTellsTheAdminWhy(t *testing.T) {
	sum := sha512.Sum512([]byte("ABCD" + "s3cret"))
	hash, _ := V4Hash("ABCD", hex.EncodeToString(sum[:]))
	users := &oldUsers{user: User{Name: "anna", Hash: hash, Legacy: true}}
	var log bytes.Buffer
	g := &Gate{Users: users, Hasher: cheapHasher(t), Log: slog.New(slog.NewTextHandler(&log, nil)), Now: time.Now}
	if err := g.Password(context.Background(), "anna", []byte("wrong")); !errors.Is(err, ErrWrong) || !strings.Contains(log.String(), "encoded some characters wrongly") {
		t.Errorf("%v, %s", err, log.String())
	}
	if strings.Contains(log.String(), "ABCD") || strings.Contains(log.String(), fmt.Sprintf("%x", sum)) {
		t.Errorf("the log tells the hash: %s", log.String())
	}
	if err := g.Password(context.Background(), "anna", []byte("s3cret")); err != nil || !strings.HasPrefix(users.rehash, "$argon2id$") || users.checked != hash {
		t.Errorf("the right one: %v, made anew as %q", err, users.rehash)
	}
}
