package rest

import (
	"context"
	"net/netip"
	"slices"

	"ss-setup/runtime/model"
)

// caller is who asks, and what he may.
type caller struct {
	key    model.Key
	from   netip.Addr
	super  bool
	sites  []string
	rights model.Rights
	// session is the one that the request came in; nil for a token.
	session *session
	// came is the cookie that a request came with which needs no session; empty for none.
	came string
	// mustChange lets in only to choose another password.
	mustChange bool
}

// callerKey is where the request's context keeps the caller.
type callerKey struct{}

// callerOf is who asks. Operations are reached only with one, but for those that say
// otherwise.
func callerOf(ctx context.Context) *caller {
	c, _ := ctx.Value(callerKey{}).(*caller)
	return c
}

// name is the caller in logs and objects, as in "admin/otto".
func (c *caller) name() string {
	if c == nil {
		return "nobody"
	}
	return c.key.String()
}

// mayView tells whether an object may be seen: every one by a SuperAdmin, those of their
// sites by others, and the site itself, as far as their rights name the kind. An object
// that belongs to no site is a SuperAdmin's.
func (c *caller) mayView(k model.Key) bool { return c.may(k, c.rights.MayView) }

// mayEdit tells whether an object may be made, changed and deleted. Sites are made and
// deleted by SuperAdmins only.
func (c *caller) mayEdit(k model.Key) bool { return c.may(k, c.rights.MayEdit) }

func (c *caller) may(k model.Key, right func(model.Kind) bool) bool {
	site := k.Site
	if k.Kind == model.KindSite {
		site = k.ID
	}
	scoped := k.Kind.Scoped() || k.Kind == model.KindSite
	return c.super || scoped && site != "" && slices.Contains(c.sites, site) && right(k.Kind)
}

// mayViewAny tells whether objects of a kind may be seen in a site. All sites' list is
// for everybody who may see the kind: it shows him his own.
func (c *caller) mayViewAny(kind model.Kind, site string) bool {
	if kind == model.KindSite {
		return c.super || c.rights.MayView(kind)
	}
	return c.mayView(model.Key{Kind: kind, Site: site})
}

// inSite tells whether a right over a kind holds in a site, for what is no object itself:
// sessions, say.
func (c *caller) inSite(site string, right func(model.Rights) bool) bool {
	return c.super || slices.Contains(c.sites, site) && right(c.rights)
}

// notAllowed is the one answer to what a role may not, whether it is there or not.
func notAllowed(c *caller, verb string, kind model.Kind, site string) *Problem {
	where := ""
	if site != "" {
		where = " of site " + site
	}
	return problem(forbidden, "%s may not %s any %s%s; a SuperAdmin can give the right", c.name(), verb, kind.Noun(), where)
}
