package vfsdecrypt

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestAProfileThatContradictsItselfIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "cbc", "aes-256", "aes-512-cbc kdf=sha256", "des-64-cbc kdf=sha256", "aes-256-gcm kdf=sha256", "aes-x-cbc kdf=sha256",
		"aes-256-cbc", "aes-256-cbc kdf=argon2", "aes-256-cbc kdf=sha256 kdf=sha256", "aes-256-cbc kdf=sha256 rounds=3", "aes-256-cbc kdf",
		"aes-256-cbc kdf=pbkdf2-sha256", "aes-256-cbc kdf=sha256 iterations=3", "aes-256-cbc kdf=pbkdf2-sha1 iterations=-1",
		"aes-256-cbc kdf=pbkdf2-sha1 iterations=99999999", "aes-256-cbc kdf=pbkdf2-sha1 iterations=x",
		"aes-256-cbc kdf=sha256 salt=00", "aes-256-cbc kdf=sha256 header=salted", "aes-256-cbc kdf=evp-md5 iterations=1 salt=zz",
		"aes-256-cbc kdf=evp-md5 iterations=1 salt=00 header=salt8", "aes-256-cbc kdf=evp-md5 iterations=1 header=salt8,salt8",
		"aes-256-cbc kdf=evp-md5 iterations=1 salt=" + strings.Repeat("00", 65), "aes-256-cbc kdf=evp-md5 iterations=1 header=salt65",
		"aes-256-cbc kdf=sha256 header=iv", "aes-256-cbc kdf=sha256 iv=file", "aes-256-cbc kdf=sha256 header=iv,iv iv=file",
		"aes-256-cbc kdf=sha256 iv=derived", "aes-256-cbc kdf=sha256 iv=none", "aes-256-ecb kdf=sha256 iv=zero", "aes-256-cbc kdf=sha256 iv=0011",
		"aes-256-cbc kdf=sha256 pad=iso", "aes-256-ctr kdf=sha256 pad=pkcs7", "aes-256-cbc kdf=sha256 text=ebcdic",
		"aes-256-cbc kdf=sha256 header=skip0", "aes-256-cbc kdf=sha256 header=skip99999", "aes-256-cbc kdf=sha256 header=skip60000,skip60000",
		"aes-256-cbc kdf=sha256 header=what", "aes-256-cbc kdf=sha256 header=length,length",
	} {
		if p, err := ParseProfile(text); !errors.Is(err, ErrProfile) {
			t.Errorf("%q became %q, %v", text, p, err)
		}
	}
}

func TestAPassphraseThatCannotBeUsedIsToldAtOnce(t *testing.T) {
	for text, secret := range map[string]string{
		"aes-256-cbc kdf=hex":                     "0123",
		"aes-256-cbc kdf=sha256 text=windows1252": "日本",
	} {
		if _, err := NewKeys(mustParse(t, text), secret); err == nil {
			t.Errorf("%s takes %q", text, secret)
		}
	}
}

// TestWhatDoesNotFitIsRefused: damaged files and those of another profile are told apart
// from good ones as far as anything in them tells.
func TestWhatDoesNotFitIsRefused(t *testing.T) {
	cbc := mustParse(t, "aes-256-cbc kdf=sha256")
	good := encrypt(t, cbc, passphrase, randomBytes(100))
	salted := mustParse(t, "aes-256-cbc kdf=evp-md5 iterations=1 header=salted iv=derived")
	length := mustParse(t, "aes-256-ctr kdf=sha256 header=length")
	for name, c := range map[string]struct {
		p    Profile
		file []byte
		want error
	}{
		"a byte too few":         {cbc, good[:len(good)-1], ErrForm},
		"a block too few":        {cbc, good[:len(good)-16], ErrForm},
		"shorter than a header":  {salted, []byte("Salted__"), ErrShort},
		"no mark":                {salted, good, ErrForm},
		"a length of something":  {length, append([]byte{9, 0, 0, 0, 0, 0, 0, 0}, good...), ErrForm},
		"a length of petabytes":  {length, append(bytes.Repeat([]byte{0xff}, 8), good...), ErrForm},
		"a length with a cipher": {mustParse(t, "aes-256-cbc kdf=sha256 header=length"), append([]byte{101, 0, 0, 0, 0, 0, 0, 0}, good...), ErrForm},
	} {
		if _, err := read(c.p, passphrase, c.file); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	keys, err := NewKeys(cbc, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	content, err := keys.Open(bytes.NewReader(good[:50]), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(content); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that was cut meanwhile: %v", err)
	}
}

func TestContentIsTheSameHoweverItIsRead(t *testing.T) {
	p := mustParse(t, "aes-256-cfb kdf=sha256")
	want := randomBytes(2*pieceSize + 77)
	file := encrypt(t, p, passphrase, want)
	keys, err := NewKeys(p, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	content, err := keys.Open(iotest.HalfReader(bytes.NewReader(file)), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(content, want); err != nil {
		t.Error(err)
	}
}

func FuzzParseProfile(f *testing.F) {
	f.Add("aes-256-cbc kdf=pbkdf2-sha256 iterations=10000 text=utf16le header=salted,skip3,length,iv iv=file pad=zero")
	f.Add("aes-128-ecb kdf=evp-md5 iterations=1 salt=0011")
	f.Add("aes-192-ctr kdf=raw iv=000102030405060708090A0B0C0D0E0F")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseProfile(text)
		if err != nil {
			if !errors.Is(err, ErrProfile) {
				t.Errorf("%v is no ErrProfile", err)
			}
			return
		}
		again, err := ParseProfile(p.String())
		if err != nil || again.String() != p.String() {
			t.Errorf("%q, then %q: %v", p, again, err)
		}
	})
}

// FuzzOpen reads files of no meaning: nothing of a file may end in a panic, or in more
// bytes than it has.
func FuzzOpen(f *testing.F) {
	profiles := []string{
		"aes-256-cbc kdf=sha256", "aes-128-ecb kdf=raw pad=zero", "aes-256-ctr kdf=md5 header=iv iv=file", "aes-256-cfb kdf=md5",
		"aes-256-ofb kdf=sha1 header=length", "aes-256-cbc kdf=sha256 header=length,iv iv=file pad=none", "aes-256-cfb8 kdf=sha1",
		"aes-256-cbc kdf=evp-md5 iterations=1 header=salted iv=derived", "aes-256-cbc kdf=sha256 pad=zero header=length",
	}
	for i, text := range profiles {
		f.Add(byte(i), encrypt(f, mustParse(f, text), passphrase, []byte("sixteen letters and some more..")[:16]))
		f.Add(byte(i), []byte("Salted__"))
	}
	f.Fuzz(func(t *testing.T, i byte, file []byte) {
		p := mustParse(t, profiles[int(i)%len(profiles)])
		keys, err := NewKeys(p, passphrase)
		if err != nil {
			t.Fatal(err)
		}
		least, most := keys.Sizes(int64(len(file)))
		got, err := read(p, passphrase, file)
		if err == nil && (int64(len(got)) < least || int64(len(got)) > most) {
			t.Errorf("%d bytes became %d, and it should be %d to %d", len(file), len(got), least, most)
		}
	})
}
