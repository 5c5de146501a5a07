package hostkey

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func generated(t testing.TB) *Key {
	t.Helper()
	k, err := Generate(ssh.KeyAlgoED25519)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAKeyThatEverybodyKnowsIsRefused(t *testing.T) {
	k := generated(t)
	sum := md5.Sum(k.public.Marshal())
	for _, text := range []string{
		"# as openssh-blacklist has it\n\n" + hex.EncodeToString(sum[6:]) + "\n",
		k.MD5() + " # with colons", "MD5:" + k.MD5(), k.SHA256(), k.SHA256() + "=", k.Line(), k.Line() + " whose it is",
	} {
		list, err := ReadDenylist("the list", strings.NewReader(text))
		if err != nil || list.Len() != 1 {
			t.Fatalf("%q: %v", text, err)
		}
		if v := k.Judge(list); v.Code != Listed || !strings.Contains(v.Reason, "the list") {
			t.Errorf("%q: %+v", text, v)
		}
		if v := generated(t).Judge(list); !v.OK() {
			t.Errorf("another key: %+v", v)
		}
	}
	for _, text := range []string{"0123\n", "SHA256:abc", "ssh-rsa AAAA", "0123456789012345678x", strings.Repeat("ab", 64)} {
		if _, err := ReadDenylist("the list", strings.NewReader(text)); err == nil {
			t.Errorf("%q passed", text)
		}
	}
	if (*Denylist)(nil).Len() != 0 || (*Denylist)(nil).Lists() != nil {
		t.Error("no list has keys")
	}
}

// TestTheListsOfDebianAreRead as its packages wrote them: openssh-blacklist by the hash of
// the public key, openssl-blacklist by that of what openssl tells of the modulus. The real
// lists have no fingerprint in this test, as nobody ships them any more.
func TestTheListsOfDebianAreRead(t *testing.T) {
	key, err := fromPrivate(rsaKey(), "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	text, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	pkcs1 := filepath.Join(t.TempDir(), "pkcs8")
	if err := os.WriteFile(pkcs1, []byte(pkcs8(t, rsaKey())), 0o600); err != nil {
		t.Fatal(err)
	}
	modulus, err := exec.Command("openssl", "rsa", "-noout", "-modulus", "-in", pkcs1).Output()
	if err != nil {
		t.Fatalf("openssl rsa: %v", err)
	}
	bySSL := sha1.Sum(modulus)
	shown, err := exec.Command("ssh-keygen", "-l", "-E", "md5", "-f", file).Output()
	if err != nil {
		t.Fatalf("ssh-keygen -l: %v", err)
	}
	bySSH := strings.ReplaceAll(strings.TrimPrefix(strings.Fields(string(shown))[1], "MD5:"), ":", "")
	folder := t.TempDir()
	for name, tail := range map[string]string{"openssh-2048": bySSH[12:], "openssl-2048": hex.EncodeToString(bySSL[10:])} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte("# A list\n00000000000000000000\n"+tail+"\nffffffffffffffffffff\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		list, err := LoadDenylist(path)
		if err != nil || list.Len() != 3 {
			t.Fatal(err)
		}
		if from, listed := list.Find(key); !listed || from != path {
			t.Errorf("%s: %v, %s", name, listed, from)
		}
	}
}

func TestListsLieBesideTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, KnownKeysFolder), 0o755); err != nil {
		t.Fatal(err)
	}
	k := generated(t)
	mine := filepath.Join(dir, KnownKeysFolder, "ours.txt")
	if err := os.WriteFile(mine, []byte(k.Line()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := DenylistFiles(filepath.Join(dir, "server.toml"))
	if err != nil || !slices.Contains(files, mine) {
		t.Fatalf("%q, %v", files, err)
	}
	list, err := LoadDenylist(mine)
	if err != nil || !slices.Equal(list.Lists(), []string{mine}) {
		t.Fatalf("%q, %v", list.Lists(), err)
	}
	if v := k.Judge(list); v.Code != Listed {
		t.Errorf("got %+v", v)
	}
	if _, err := LoadDenylist(mine + "x"); err == nil {
		t.Error("a list that is not there is read")
	}
	if err := os.WriteFile(mine, []byte("rubbish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadDenylist(mine); err == nil || !strings.Contains(err.Error(), mine) {
		t.Errorf("rubbish: %v", err)
	}
}

// codes audits texts by the names of their files.
func codes(t *testing.T, a *Auditor, files ...string) []string {
	t.Helper()
	for i := 0; i < len(files); i += 2 {
		a.Add(files[i], []byte(files[i+1]))
	}
	var out []string
	for _, f := range a.Findings() {
		if !f.OK() && (f.Reason == "" || f.Cure == "") {
			t.Errorf("no reason or cure: %+v", f)
		}
		out = append(out, fmt.Sprintf("%s:%d %s", f.File, f.Line, f.Code))
	}
	return out
}

func TestAKeyOfSeveralMachinesIsRefused(t *testing.T) {
	k, other := generated(t), generated(t)
	private, err := k.PEM()
	if err != nil {
		t.Fatal(err)
	}
	line := k.Line() + "\n"
	for name, c := range map[string]struct {
		files []string
		want  []string
	}{
		"copies of the private key":     {[]string{"a", private, "b", private}, []string{"a:1 shared", "b:1 shared"}},
		"public keys of two machines":   {[]string{"a.pub", line, "b.pub", line + other.Line()}, []string{"a.pub:1 shared", "b.pub:1 shared", "b.pub:2 ok"}},
		"two hosts":                     {[]string{"k", "one.example " + line + "two.example,10.0.0.2 " + line}, []string{"k:1 shared", "k:2 shared"}},
		"a pair of halves":              {[]string{"a", private, "a.pub", line}, []string{"a:1 ok", "a.pub:1 ok"}},
		"one file twice over":           {[]string{"a", line + line}, []string{"a:1 ok", "a:2 ok"}},
		"a host by all its names":       {[]string{"k", "one.example,one,10.0.0.1 " + line + "[one]:2222 " + line + "10.0.0.1 " + line}, []string{"k:1 ok", "k:2 ok", "k:3 ok"}},
		"hosts whose names are hashed":  {[]string{"k", "|1|c2FsdA==|aGFzaA== " + line + "|1|c2FsdDI=|aGFzaDI= " + line}, []string{"k:1 ok", "k:2 ok"}},
		"keys of different machines":    {[]string{"a", line, "b", other.Line()}, []string{"a:1 ok", "b:1 ok"}},
		"a file in which there is none": {[]string{"a", line, "b", "# none\n"}, []string{"a:1 ok", "b:1 unreadable"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := codes(t, &Auditor{}, c.files...); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if got := codes(t, &Auditor{OneCluster: true}, "a", private, "b", private); !slices.Equal(got, []string{"a:1 ok", "b:1 ok"}) {
		t.Errorf("in a cluster: %q", got)
	}
}

func TestModuliWithAFactorInCommonAreRefused(t *testing.T) {
	prime := func() *big.Int {
		p, err := rand.Prime(rand.Reader, 1024)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := prime()
	pub := func(n *big.Int) string { return line(t, &rsa.PublicKey{N: n, E: 65537}) }
	first, second := pub(new(big.Int).Mul(p, prime())), pub(new(big.Int).Mul(p, prime()))
	fine := pub(rsaKey().N)
	a := &Auditor{}
	got := codes(t, a, "a", fine+first, "b", fine+second+second)
	if want := []string{"a:1 shared", "a:2 factors", "b:1 shared", "b:2 factors", "b:3 factors"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if reason := a.Findings()[1].Reason; !strings.Contains(reason, "b, line 2") {
		t.Errorf("it does not say with which: %s", reason)
	}
}

func FuzzDenylist(f *testing.F) {
	f.Add("# a list\n00112233445566778899\nMD5:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff\n")
	f.Add("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU\n")
	f.Add(generated(f).Line())
	k := generated(f)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ReadDenylist("list", strings.NewReader(text))
		if err != nil {
			return
		}
		if list.Len() > strings.Count(text, "\n")+1 {
			t.Errorf("%d keys of %q", list.Len(), text)
		}
		k.Judge(list)
	})
}
