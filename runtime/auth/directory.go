package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Profile says how an LDAP directory is asked.
type Profile struct {
	// URLs of the servers, ldap://HOST[:PORT] or ldaps://HOST[:PORT]. They are tried in
	// order.
	URLs []string
	// StartTLS encrypts what began in the clear; without it, and without ldaps,
	// passwords would cross the network readable, which needs Cleartext.
	StartTLS  bool
	Cleartext bool
	TLS       *tls.Config // nil is that of the machine
	// Bind and Password are of the account that searches.
	Bind, Password string
	// Base is where users are searched, Filter how, with {user} for the name.
	Base, Filter string
	// Groups, if not empty, is an attribute that names a user's groups.
	Groups string
	// Timeout is for each step; 0 is 10 seconds.
	Timeout time.Duration
}

// Check says what is wrong with p before anything is asked.
func (p Profile) Check() error {
	var wrong []error
	if len(p.URLs) == 0 {
		wrong = append(wrong, errors.New("it names no server"))
	}
	for _, text := range p.URLs {
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "ldap" && u.Scheme != "ldaps":
			wrong = append(wrong, fmt.Errorf("%q is not ldap://HOST or ldaps://HOST", text))
		case u.Scheme == "ldap" && !p.StartTLS && !p.Cleartext:
			wrong = append(wrong, fmt.Errorf("%s sends passwords readable; use ldaps, StartTLS, or allow clear text", text))
		}
	}
	if !strings.Contains(p.Filter, userMark) {
		wrong = append(wrong, fmt.Errorf("the filter %q must have %s, for the name", p.Filter, userMark))
	} else if _, err := ldap.CompileFilter(p.filter("x")); err != nil {
		wrong = append(wrong, fmt.Errorf("the filter %q cannot be read: %w", p.Filter, err))
	}
	if _, err := ldap.ParseDN(p.Base); err != nil {
		wrong = append(wrong, fmt.Errorf("the base %q is no distinguished name: %w", p.Base, err))
	}
	return errors.Join(wrong...)
}

// userMark stands for the name in a filter.
const userMark = "{user}"

func (p Profile) filter(name string) string {
	return strings.ReplaceAll(p.Filter, userMark, ldap.EscapeFilter(name))
}

// LDAP is a directory behind a profile.
type LDAP struct{ profile Profile }

// NewLDAP makes a directory of a profile that is in order.
func NewLDAP(p Profile) (*LDAP, error) {
	if p.Timeout == 0 {
		p.Timeout = 10 * time.Second
	}
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("LDAP profile: %w", err)
	}
	return &LDAP{p}, nil
}

// Person is a user as the directory knows one.
type Person struct {
	DN     string
	Groups []string
	// Names are all that the person could log in by: the values of the attributes that the
	// filter compares with the name.
	Names []string
}

// Check implements Directory.
func (l *LDAP) Check(ctx context.Context, name string, password []byte) error {
	_, err := l.Authenticate(ctx, name, password)
	return err
}

// Authenticate finds a user by name and checks the password by binding as that user.
// The error is ErrWrong, or says why the directory could not be asked.
func (l *LDAP) Authenticate(ctx context.Context, name string, password []byte) (Person, error) {
	if name == "" || len(password) == 0 {
		return Person{}, ErrWrong // servers take an empty password for a log-in without a name
	}
	c, err := l.connect(ctx)
	if err != nil {
		return Person{}, err
	}
	defer c.Close()
	person, err := l.find(c, name)
	if err != nil {
		return Person{}, err
	}
	err = c.Bind(person.DN, string(password))
	switch {
	case err == nil:
		return person, nil
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultConstraintViolation):
		return Person{}, ErrWrong
	}
	return Person{}, fmt.Errorf("bind as %s: %w", person.DN, err)
}

// Test connects, binds and searches, to tell an administrator whether the profile works.
func (l *LDAP) Test(ctx context.Context) error {
	c, err := l.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = l.find(c, "nobody-has-this-name")
	if errors.Is(err, ErrWrong) {
		err = nil
	}
	return err
}

// connect binds at the first server that answers.
func (l *LDAP) connect(ctx context.Context) (*conn, error) {
	var failed []error
	for _, server := range l.profile.URLs {
		c, err := l.connectTo(ctx, server)
		if err == nil {
			return c, nil
		}
		failed = append(failed, fmt.Errorf("%s: %w", server, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(failed...)
}

func (l *LDAP) connectTo(ctx context.Context, server string) (*conn, error) {
	p := l.profile
	dialer := &net.Dialer{Timeout: p.Timeout}
	if deadline, ok := ctx.Deadline(); ok {
		dialer.Deadline = deadline
	}
	dialed, err := ldap.DialURL(server, ldap.DialWithDialer(dialer), ldap.DialWithTLSConfig(p.tlsFor(server)))
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: dialed, stop: context.AfterFunc(ctx, func() { _ = dialed.Close() })}
	c.SetTimeout(p.Timeout)
	if p.StartTLS && strings.HasPrefix(server, "ldap:") {
		err = c.StartTLS(p.tlsFor(server))
	}
	if err == nil && p.Bind != "" {
		if err = c.Bind(p.Bind, p.Password); err != nil {
			err = fmt.Errorf("bind as %s, the account that searches: %w", p.Bind, err)
		}
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// conn is a connection that ends with its context: the library waits for answers by
// time alone.
type conn struct {
	*ldap.Conn
	stop func() bool
}

// Close ends the connection.
func (c *conn) Close() {
	c.stop()
	_ = c.Conn.Close()
}

// tlsFor is the configuration for a server, whose name the certificate must have.
func (p Profile) tlsFor(server string) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if p.TLS != nil {
		c = p.TLS.Clone()
	}
	if u, err := url.Parse(server); err == nil && c.ServerName == "" {
		c.ServerName = u.Hostname()
	}
	return c
}

// find is the one entry of a name. Two are as good as none: nobody could say who it is.
func (l *LDAP) find(c *conn, name string) (Person, error) {
	p := l.profile
	named := p.nameAttributes()
	attributes := slices.Clone(named)
	if p.Groups != "" {
		attributes = append(attributes, p.Groups)
	}
	if len(attributes) == 0 {
		attributes = []string{"1.1"} // none
	}
	request := ldap.NewSearchRequest(p.Base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2,
		int(p.Timeout/time.Second), false, p.filter(name), attributes, nil)
	result, err := c.Search(request)
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded):
		return Person{}, fmt.Errorf("the filter %q fits more than one entry for a name; make it narrower", p.Filter)
	case err != nil:
		return Person{}, fmt.Errorf("search below %q: %w", p.Base, err)
	case len(result.Entries) == 0:
		return Person{}, ErrWrong
	case len(result.Entries) > 1:
		return Person{}, fmt.Errorf("the filter %q fits more than one entry for a name; make it narrower", p.Filter)
	}
	entry := result.Entries[0]
	person := Person{DN: entry.DN, Groups: entry.GetAttributeValues(p.Groups)}
	for _, attribute := range named {
		person.Names = append(person.Names, entry.GetEqualFoldAttributeValues(attribute)...)
	}
	return person, nil
}

// nameAttribute is a comparison with the name in a filter.
var nameAttribute = regexp.MustCompile(`\(\s*([A-Za-z][A-Za-z0-9-]*)\s*[~<>]?=\s*` + regexp.QuoteMeta(userMark) + `\s*\)`)

// nameAttributes are those that the filter compares with the name.
func (p Profile) nameAttributes() (out []string) {
	for _, found := range nameAttribute.FindAllStringSubmatch(p.Filter, -1) {
		out = append(out, found[1])
	}
	return out
}
