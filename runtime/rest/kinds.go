package rest

import (
	"net/http"
	"reflect"
	"slices"

	"ss-setup/runtime/model"
)

// kind is how objects of one kind are reached.
type kind struct {
	model.Kind
	// path is the collection; id names one object and many several, in operations.
	path, one, many string
	// object and page are what is answered, made what the creation answers.
	object, page, made, created reflect.Type
	// inSites and inServer say where there is a collection.
	inSites, inServer bool
	// single has one object and no collection.
	single bool
	// kept is only read and deleted.
	kept bool
	// help is what is to know when one is made.
	help string
}

// Page is a part of a list.
type Page[T any] struct {
	Items []T `json:"items" nullable:"false"`
	// More tells that there are others; Next is the parameter after of the next page.
	More bool   `json:"more"`
	Next string `json:"next,omitempty" doc:"What to send as after for the next page."`
	// Total is there if it was asked for.
	Total *int `json:"total,omitempty" doc:"How many fit, if that was asked for."`
	// Seq is the number of the last change that the page shows.
	Seq uint64 `json:"seq" doc:"The number of the last change that the list shows: changes since this one are news."`
}

func kindOf[T any](k model.Kind, path, one, many string) kind {
	return kind{
		Kind: k, path: path, one: one, many: many,
		object: reflect.TypeFor[T](), page: reflect.TypeFor[Page[T]](),
		made: reflect.TypeFor[T](), created: reflect.TypeFor[T](),
		inSites: k.Scoped(), inServer: !k.Scoped(),
	}
}

// kinds are all of them; a test holds the list against the model's.
func kinds() []kind {
	settings := kindOf[model.Settings](model.KindSettings, "settings", "settings", "settings")
	settings.single = true
	tokens := kindOf[model.Token](model.KindToken, "tokens", "token", "tokens")
	tokens.created = reflect.TypeFor[MadeToken]()
	keys := kindOf[model.HostKey](model.KindHostKey, "hostkeys", "host-key", "host-keys")
	keys.made = reflect.TypeFor[NewHostKey]()
	certificates := kindOf[model.Certificate](model.KindCertificate, "certificates", "certificate", "certificates")
	entries := kindOf[model.Entry](model.KindEntry, "entries", "entry", "entries")
	legacy := kindOf[model.Legacy](model.KindLegacy, "legacy", "legacy-object", "legacy-objects")
	certificates.help = "One of the type self-signed is made here, for its domains or else for the names of the machine."
	certificates.inServer, entries.inServer, legacy.inServer = true, true, true
	legacy.kept = true
	sites := kindOf[model.Site](model.KindSite, "sites", "site", "sites")
	sites.help = "It gets two host keys, Ed25519 and ECDSA, and needs a binding to be reached."
	tokens.help = "The answer has its text, this once."
	keys.help = "Drawn, or imported from a private key; a weak one is refused with the reason."
	vfs := kindOf[model.VFS](model.KindVFS, "vfs", "vfs", "vfs-list")
	vfs.help = "Its folder is made if it is not there, and tried as the account of the service. An Admin's lies in the folder of its site."
	return []kind{
		settings, tokens, keys, certificates, entries, legacy,
		kindOf[model.Node](model.KindNode, "nodes", "node", "nodes"),
		kindOf[model.SuperAdmin](model.KindSuperAdmin, "superadmins", "superadmin", "superadmins"),
		kindOf[model.Admin](model.KindAdmin, "admins", "admin", "admins"),
		sites,
		kindOf[model.Binding](model.KindBinding, "bindings", "binding", "bindings"),
		kindOf[model.Group](model.KindGroup, "groups", "group", "groups"),
		kindOf[model.User](model.KindUser, "users", "user", "users"),
		vfs,
		kindOf[model.LDAPProfile](model.KindLDAP, "ldap", "ldap-profile", "ldap-profiles"),
	}
}

// The parameters of operations.

// InSite is the site in a path.
type InSite struct {
	Site string `path:"site" maxLength:"63" doc:"The name of the site."`
}

func (p *InSite) place() string { return p.Site }

// InServer is for what belongs to no site.
type InServer struct{}

func (p *InServer) place() string { return "" }

// ObjectID is the object in a path.
type ObjectID struct {
	ID string `path:"id" maxLength:"600" doc:"The name of the object; that of a list entry is LIST:NETWORK."`
}

func (p *ObjectID) id() string { return p.ID }

// Revision is what a write is made to.
type Revision struct {
	IfMatch string `header:"If-Match" maxLength:"40" doc:"The ETag of the object that is changed, or * for whichever there is."`
}

func (p *Revision) revision() string { return p.IfMatch }

func (p *Raw) raw() []byte { return p.RawBody }

// Known is what the caller has.
type Known struct {
	IfNoneMatch string `header:"If-None-Match" maxLength:"40" doc:"The ETag that the caller has: 304 if it is still the right one."`
}

func (p *Known) known() string { return p.IfNoneMatch }

// ListQuery says what a list is to show.
type ListQuery struct {
	Text     string `query:"q" maxLength:"200" doc:"What names, addresses and descriptions must contain, whatever the case."`
	Prefix   string `query:"prefix" maxLength:"200" doc:"How names begin."`
	RefersTo string `query:"refersTo" maxLength:"700" doc:"Only objects that need this one, as KIND/SITE/ID: the users of a VFS, the members of a group."`
	After    string `query:"after" maxLength:"600" doc:"The next of the page before."`
	Limit    int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many at most."`
	Total    bool   `query:"total" doc:"Count all that fit."`
	Sort     string `query:"sort" enum:"name,-name,modified,-modified,created,-created" default:"name" doc:"The order; by times only lists of at most 2000 objects."`
}

func (q *ListQuery) list() *ListQuery { return q }

// register makes all operations.
func (a *API) register() {
	for _, k := range kinds() {
		a.registerKind(k)
	}
	a.registerLogin()
	a.registerSites()
	a.registerKeys()
	a.registerFeed()
	a.registerAudit()
}

func (a *API) registerKind(k kind) {
	switch {
	case k.single:
		registerGet[struct {
			InServer
			OneID
			Known
		}](a, k, "/"+k.path, "")
		registerWrites[struct {
			InServer
			OneID
			Revision
			Raw
		}](a, k, "/"+k.path, "")
		return
	case k.inServer:
		a.registerInServer(k)
	}
	if k.inSites {
		a.registerInSites(k)
	}
}

// OneID stands for the ID of what there is only one of.
type OneID struct{}

func (OneID) id() string { return model.SettingsName }

func (a *API) registerInServer(k kind) {
	at, of := "/"+k.path, ""
	if k.inSites {
		of = "-of-server"
	}
	registerList[struct {
		InServer
		ListQuery
	}](a, k, at, of)
	registerGet[struct {
		InServer
		ObjectID
		Known
	}](a, k, at+"/{id}", of)
	if !k.kept {
		registerCreate[struct {
			InServer
			Raw
		}](a, k, at, of)
		registerWrites[struct {
			InServer
			ObjectID
			Revision
			Raw
		}](a, k, at+"/{id}", of)
	}
	registerDelete[struct {
		InServer
		ObjectID
		Revision
	}](a, k, at+"/{id}", of)
}

func (a *API) registerInSites(k kind) {
	at := "/sites/{site}/" + k.path
	registerList[struct {
		InSite
		ListQuery
	}](a, k, at, "")
	registerGet[struct {
		InSite
		ObjectID
		Known
	}](a, k, at+"/{id}", "")
	if !k.kept {
		registerCreate[struct {
			InSite
			Raw
		}](a, k, at, "")
		registerWrites[struct {
			InSite
			ObjectID
			Revision
			Raw
		}](a, k, at+"/{id}", "")
	}
	registerDelete[struct {
		InSite
		ObjectID
		Revision
	}](a, k, at+"/{id}", "")
}

// tagOf is the heading of a kind's operations in the document.
func tagOf(k kind) string { return k.path }

// methods that change an object have these problems beside the usual.
var writeProblems = []problemType{notFound, conflict, noRevision, exists, referenced}

// problemsOf are those of the writes of a kind.
func problemsOf(k kind) []problemType {
	if needsProofOf(k.Kind) {
		return append(slices.Clone(writeProblems), proofRequired)
	}
	return writeProblems
}

func summaryOf(method string, k kind, of string) string {
	where := ""
	switch {
	case of != "":
		where = " of the server"
	case k.inSites:
		where = " of a site"
	}
	verb := map[string]string{
		http.MethodGet: "Get a", http.MethodPost: "Make a", http.MethodPut: "Replace a", http.MethodPatch: "Change a", http.MethodDelete: "Delete a",
	}[method]
	return verb + " " + k.Noun() + where
}
