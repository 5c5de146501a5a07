//go:build linux && lab

package directory

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ss-setup/runtime/auth"
	"ss-setup/scripts/lab"
)

// slapd is a directory with a few people in it.
type slapd struct {
	plain, secure string // URLs
	roots         *x509.CertPool
}

const config = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCACertificateFile DIR/cert.pem
TLSCertificateFile DIR/cert.pem
TLSCertificateKeyFile DIR/key.pem
# What many directories allow, and a server must not take for a log-in.
allow bind_anon_cred bind_anon_dn
database mdb
directory DIR/db
suffix "dc=example,dc=com"
rootdn "cn=root,dc=example,dc=com"
rootpw rootpw
access to attrs=userPassword by anonymous auth by * none
access to * by * read
`

const people = `dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: cn=search,dc=example,dc=com
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: search
userPassword: searchpw

dn: uid=kim,dc=example,dc=com
objectClass: inetOrgPerson
uid: kim
cn: Kim
sn: Kim
employeeType: staff
employeeType: admins
userPassword: secret

dn: uid=kim* (the \2B other),dc=example,dc=com
objectClass: inetOrgPerson
uid: kim* (the + other)
cn: twin
sn: Other
userPassword: other

dn: uid=twin2,dc=example,dc=com
objectClass: inetOrgPerson
uid: twin2
cn: twin
sn: Two
userPassword: secret
`

func start(t *testing.T) *slapd {
	t.Helper()
	lab.InstallPackages(t, "/usr/sbin/slapd:slapd")
	dir := t.TempDir()
	s := &slapd{roots: x509.NewCertPool()}
	s.roots.AddCert(certificate(t, dir))
	if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "slapd.conf", strings.ReplaceAll(config, "DIR", dir))
	write(t, dir, "people.ldif", people)
	conf := filepath.Join(dir, "slapd.conf")
	if out, err := exec.Command("/usr/sbin/slapd", "-T", "add", "-f", conf, "-l", filepath.Join(dir, "people.ldif")).CombinedOutput(); err != nil {
		t.Fatalf("slapadd: %v\n%s", err, out)
	}
	plain, secure := freePort(t), freePort(t)
	s.plain, s.secure = "ldap://127.0.0.1:"+plain, "ldaps://127.0.0.1:"+secure
	var out bytes.Buffer
	cmd := exec.Command("/usr/sbin/slapd", "-d", "0", "-f", conf, "-h", s.plain+"/ "+s.secure+"/")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		c, err := net.Dial("tcp", "127.0.0.1:"+secure)
		if err == nil {
			_ = c.Close()
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("slapd does not listen: %s", &out)
		}
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// certificate is one for 127.0.0.1 that signs itself.
func certificate(t *testing.T, dir string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "slapd"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func (s *slapd) profile(change func(*auth.Profile)) auth.Profile {
	p := auth.Profile{
		URLs: []string{s.secure}, TLS: &tls.Config{RootCAs: s.roots},
		Bind: "cn=search,dc=example,dc=com", Password: "searchpw",
		Base: "dc=example,dc=com", Filter: "(&(objectClass=inetOrgPerson)(uid={user}))", Groups: "employeeType", Timeout: 30 * time.Second,
	}
	if change != nil {
		change(&p)
	}
	return p
}

func open(t *testing.T, p auth.Profile) *auth.LDAP {
	t.Helper()
	l, err := auth.NewLDAP(p)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAUserOfTheDirectoryLogsInHoweverItIsReached(t *testing.T) {
	s := start(t)
	for name, change := range map[string]func(*auth.Profile){
		"LDAPS":              nil,
		"StartTLS":           func(p *auth.Profile) { p.URLs, p.StartTLS = []string{s.plain}, true },
		"clear text":         func(p *auth.Profile) { p.URLs, p.Cleartext = []string{s.plain}, true },
		"without an account": func(p *auth.Profile) { p.Bind, p.Password = "", "" },
		"the second server":  func(p *auth.Profile) { p.URLs = []string{"ldaps://127.0.0.1:1", s.secure} },
	} {
		l := open(t, s.profile(change))
		person, err := l.Authenticate(t.Context(), "kim", []byte("secret"))
		if err != nil || person.DN != "uid=kim,dc=example,dc=com" || fmt.Sprint(person.Groups) != "[staff admins]" {
			t.Errorf("%s: %+v, %v", name, person, err)
		}
		if err := l.Test(t.Context()); err != nil {
			t.Errorf("%s: the test of the profile: %v", name, err)
		}
	}
}

func TestNobodyElseLogsIn(t *testing.T) {
	s := start(t)
	l := open(t, s.profile(nil))
	for name, c := range map[string][2]string{
		"a wrong password": {"kim", "guess"},
		"an empty one":     {"kim", ""}, // slapd takes it for an anonymous log-in
		"an unknown name":  {"nobody", "secret"},
		"no name":          {"", "secret"},
		"any name":         {"*", "secret"},
		"a bit of a name":  {"ki*", "secret"},
		"another filter":   {"kim)(uid=*", "secret"},
		"a zero byte":      {"kim\x00", "secret"},
		"a name for a DN":  {"uid=kim,dc=example,dc=com", "secret"},
	} {
		if _, err := l.Authenticate(t.Context(), c[0], []byte(c[1])); !errors.Is(err, auth.ErrWrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := l.Authenticate(t.Context(), "kim* (the + other)", []byte("other")); err != nil {
		t.Errorf("a name with the letters of filters: %v", err)
	}
}

func TestATroubleOfTheDirectoryIsNoWrongPassword(t *testing.T) {
	s := start(t)
	for want, change := range map[string]func(*auth.Profile){
		"account that searches": func(p *auth.Profile) { p.Password = "guess" },
		"certificate":           func(p *auth.Profile) { p.TLS = nil },
		"more than one entry":   func(p *auth.Profile) { p.Filter = "(|(uid={user})(cn=twin))" },
		"connection refused":    func(p *auth.Profile) { p.URLs = []string{"ldaps://127.0.0.1:1"} },
		"No Such Object":        func(p *auth.Profile) { p.Base = "dc=example,dc=org" },
	} {
		_, err := open(t, s.profile(change)).Authenticate(t.Context(), "kim", []byte("secret"))
		if err == nil || errors.Is(err, auth.ErrWrong) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "searchpw") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestADirectoryThatDoesNotAnswerHoldsNobodyUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // it takes connections and says nothing
	s := &slapd{plain: "ldap://" + l.Addr().String()}
	p := s.profile(func(p *auth.Profile) { p.URLs, p.Cleartext = []string{s.plain}, true })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begun := time.Now()
	if _, err := open(t, p).Authenticate(ctx, "kim", []byte("secret")); err == nil || errors.Is(err, auth.ErrWrong) {
		t.Errorf("said %v", err)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}
