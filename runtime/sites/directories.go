package sites

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
)

// directory is an LDAP profile in use.
type directory struct {
	site    *site
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
		s.saying().Warn("an LDAP profile sends passwords readable over the network; use ldaps or startTLS", "profile", p.Name)
	}
	l, err := auth.NewLDAP(ap)
	if err != nil {
		return nil, err
	}
	return &directory{s, p, l}, nil
}

// Check implements auth.Directory. Who is let in has the groups that the directory gives.
func (d *directory) Check(ctx context.Context, name string, password []byte) error {
	person, err := d.authenticate(ctx, name, password)
	if err != nil {
		return err
	}
	return d.follow(ctx, name, person)
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
		same := func(name string) bool { return model.Fold(name) == model.Fold(g.Group) }
		if slices.ContainsFunc(p.Groups, is) && !slices.ContainsFunc(out, same) {
			out = append(out, g.Group)
		}
	}
	return out
}

// follow brings the groups of a user who has them of the directory to what it says, and
// lets in nobody who is left without one.
func (d *directory) follow(ctx context.Context, name string, p auth.Person) error {
	var u *model.User
	read := func(r *engine.Reader) (err error) {
		u, err = engine.Users.Get(r, d.site.name, name)
		return err
	}
	if err := d.site.m.opt.Engine.Read(read); err != nil {
		return err
	}
	if !u.LDAPGroups {
		return nil
	}
	mapped := d.groups(p)
	if !slices.Equal(u.Groups, d.merged(u.Groups, mapped)) {
		_, err := d.site.m.opt.Engine.Write(ctx, d.by(), func(tx *engine.Tx) error {
			if err := read(tx.Reader); err != nil {
				return err
			}
			u.Groups = d.merged(u.Groups, mapped)
			return tx.Put(u)
		})
		if err != nil {
			return fmt.Errorf("take over the groups of user %s from the directory: %w", name, err)
		}
		d.site.log.Info("the groups of a user were taken over from the directory", "user", name, "profile", d.profile.Name, "groups", u.Groups)
	}
	if len(mapped) == 0 {
		return d.inNoGroup(name)
	}
	return nil
}

// merged are the groups of a user that the profile does not map, which somebody gave him
// by hand, and behind them those that it does.
func (d *directory) merged(groups, mapped []string) []string {
	own := slices.DeleteFunc(slices.Clone(groups), func(name string) bool {
		return slices.ContainsFunc(d.profile.Groups, func(g model.LDAPGroup) bool { return model.Fold(g.Group) == model.Fold(name) })
	})
	return append(own, mapped...)
}

// otherAccount is the account that a person has by another name than this one; empty if
// there is none. With a second one he would come around what is set for the first.
func (d *directory) otherAccount(name string, p auth.Person) (other string, err error) {
	names := append([]string{name}, p.Names...)
	for _, full := range slices.Clone(names) {
		short, at, _ := strings.Cut(full, "@")
		for _, domain := range d.profile.Domains {
			if model.Fold(domain) == model.Fold(at) {
				names = append(names, short)
			}
			if at == "" {
				names = append(names, full+"@"+domain)
			}
		}
	}
	err = d.site.m.opt.Engine.Read(func(r *engine.Reader) error {
		for _, n := range names {
			u, err := engine.Users.Get(r, d.site.name, n)
			if missing := (*engine.NotFoundError)(nil); errors.As(err, &missing) {
				continue
			}
			if err != nil {
				return err
			}
			if model.Fold(u.Name) != model.Fold(name) && model.Fold(u.LDAP) == model.Fold(d.profile.Name) {
				other = u.Name
				return nil
			}
		}
		return nil
	})
	return other, err
}

func (d *directory) inNoGroup(name string) error {
	d.site.log.Warn("a user of the directory is in no group that the profile maps, and is not let in", "user", name, "profile", d.profile.Name)
	return auth.ErrWrong
}

// by is who writes what the directory says.
func (d *directory) by() string { return "ldap/" + d.profile.Name }

// newcomer makes a user of whom a directory knows and the site does not, where a profile
// allows it. The error is auth.ErrWrong where none does.
func (s *site) newcomer(ctx context.Context, r *rules, name string, password []byte) error {
	for _, id := range slices.Sorted(maps.Keys(r.directories)) {
		d := r.directories[id]
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
			return d.inNoGroup(name)
		}
		if other, err := d.otherAccount(name, person); err != nil || other != "" {
			if err == nil {
				s.log.Warn("a user of the directory has an account by another of his names, and is not let in by this one", "user", name, "account", other, "profile", d.profile.Name)
				err = auth.ErrWrong
			}
			return err
		}
		return s.create(ctx, d, name, groups)
	}
	return auth.ErrWrong
}

func (s *site) create(ctx context.Context, d *directory, name string, groups []string) error {
	u := &model.User{Site: s.name, LDAP: d.profile.Name, LDAPGroups: true, Groups: groups}
	u.Name = name
	_, err := s.m.opt.Engine.Write(ctx, d.by(), func(tx *engine.Tx) error { return tx.Create(u) })
	if exists := (*engine.ExistsError)(nil); errors.As(err, &exists) {
		return nil // another session of the same user was quicker
	}
	if err != nil {
		return fmt.Errorf("make user %s, whom the directory knows: %w", name, err)
	}
	s.log.Info("a user of the directory was made", "user", name, "profile", d.profile.Name, "groups", groups)
	return nil
}
