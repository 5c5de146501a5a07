package sites

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
)

// directory is an LDAP profile in use.
type directory struct {
	profile *model.LDAPProfile
	ldap    *auth.LDAP
}

func (s *site) newDirectory(p *model.LDAPProfile) (*directory, error) {
	password, err := s.m.opt.Engine.Reveal(p.Key(), "bindPassword", p.BindPassword)
	if err != nil {
		return nil, err
	}
	ap := auth.Profile{
		URLs: p.URLs, StartTLS: p.StartTLS, Bind: p.BindDN, Password: password, Base: p.BaseDN, Filter: p.Filter,
		Timeout: time.Duration(p.TimeoutSeconds) * time.Second,
	}
	if len(p.Groups) > 0 {
		ap.Groups = "memberOf"
		if p.GroupAttribute != "" {
			ap.Groups = p.GroupAttribute
		}
	}
	if p.CA != "" {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(p.CA)) {
			return nil, errors.New("ca: it holds no certificate as PEM")
		}
		ap.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	if clear := slices.ContainsFunc(p.URLs, func(u string) bool { return strings.HasPrefix(u, "ldap:") }); clear && !p.StartTLS {
		ap.Cleartext = true
		s.log.Warn("an LDAP profile sends passwords readable over the network; use ldaps or startTLS", "profile", p.Name)
	}
	l, err := auth.NewLDAP(ap)
	if err != nil {
		return nil, err
	}
	return &directory{p, l}, nil
}

// Check implements auth.Directory.
func (d *directory) Check(ctx context.Context, name string, password []byte) error {
	_, err := d.authenticate(ctx, name, password)
	return err
}

// authenticate tries a name without a domain in each of the profile's domains.
func (d *directory) authenticate(ctx context.Context, name string, password []byte) (auth.Person, error) {
	if len(d.profile.Domains) == 0 || strings.Contains(name, "@") {
		return d.ldap.Authenticate(ctx, name, password)
	}
	var err error
	for _, domain := range d.profile.Domains {
		var person auth.Person
		if person, err = d.ldap.Authenticate(ctx, name+"@"+domain, password); !errors.Is(err, auth.ErrWrong) {
			return person, err
		}
	}
	return auth.Person{}, err
}

// groups are those of the site that a person's are mapped to, in the profile's order.
func (d *directory) groups(p auth.Person) []string {
	var out []string
	for _, g := range d.profile.Groups {
		is := func(dn string) bool { return strings.EqualFold(dn, g.DN) }
		if slices.ContainsFunc(p.Groups, is) && !slices.Contains(out, g.Group) {
			out = append(out, g.Group)
		}
	}
	return out
}

// newcomer makes a user of whom a directory knows and the site does not, where a profile
// allows it. The error is auth.ErrWrong where none does.
func (s *site) newcomer(ctx context.Context, r *rules, name string, password []byte) error {
	for _, d := range r.directories {
		if !d.profile.Autocreate {
			continue
		}
		person, err := d.authenticate(ctx, name, password)
		if errors.Is(err, auth.ErrWrong) {
			continue
		}
		if err != nil {
			s.log.Error("the directory cannot be asked", "user", name, "profile", d.profile.Name, "error", err)
			return err
		}
		groups := d.groups(person)
		if len(groups) == 0 {
			s.log.Warn("a user of the directory is in no group that the profile maps, and is not let in", "user", name, "profile", d.profile.Name)
			return auth.ErrWrong
		}
		return s.create(ctx, d, name, groups)
	}
	return auth.ErrWrong
}

func (s *site) create(ctx context.Context, d *directory, name string, groups []string) error {
	u := &model.User{Site: s.name, LDAP: d.profile.Name, Groups: groups}
	u.Name = name
	_, err := s.m.opt.Engine.Write(ctx, "ldap/"+d.profile.Name, func(tx *engine.Tx) error { return tx.Create(u) })
	if exists := (*engine.ExistsError)(nil); errors.As(err, &exists) {
		return nil // another session of the same user was quicker
	}
	if err != nil {
		return fmt.Errorf("make user %s, whom the directory knows: %w", name, err)
	}
	s.log.Info("a user of the directory was made", "user", name, "profile", d.profile.Name, "groups", groups)
	return nil
}
