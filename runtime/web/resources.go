package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"ss-setup/runtime/model"
	"ss-setup/runtime/rest"
)

// resources are the kinds that have the usual pages, in the order of a site's tabs.
func resources() []resource {
	return []resource{
		sitesResource(), usersResource(), groupsResource(), vfsResource(), bindingsResource(), hostKeysResource(), entriesResource(),
		ldapResource(), certificatesResource(), nodesResource(), superAdminsResource(), adminsResource(), tokensResource(), legacyResource(), settingsResource(),
	}
}

func usersKey(site string) model.Key { return model.Key{Kind: model.KindUser, Site: site} }

func nameCell(o model.Object) cell { return cell{Text: o.Header().Name} }

func described(f func(o model.Object) string) func(model.Object) cell {
	return func(o model.Object) cell { return cell{Text: f(o)} }
}

func groupsResource() resource {
	return resource{
		kind: model.KindGroup, path: "groups", title: "Groups",
		lead:  "A group gives its users what they have not of their own.",
		empty: "There are no groups. Users can do without.",
		columns: []column{
			{Title: "Name", cell: nameCell},
			{Title: "Home", Quiet: true, cell: func(o model.Object) cell { h := o.(*model.Group).Home; return cell{Text: h.VFS, Mono: true} }},
			{Title: "Description", Quiet: true, cell: described(func(o model.Object) string { return o.(*model.Group).Description })},
		},
		sections: func(v *visit, site string, _ map[string]any) ([]section, error) {
			vfs, err := v.names(model.KindVFS, site, "None")
			if err != nil {
				return nil, err
			}
			out := []section{
				{Title: "Identity", Fields: []field{
					{Name: "name", Label: "Name", Type: textInput, Required: true, Fixed: true, Focus: true, Help: "It cannot change."},
					{Name: "description", Label: "Description", Type: areaInput},
				}},
				{Title: "Home", Help: "For users who have none of their own.", Fields: []field{
					{Name: "home.vfs", Label: "Storage", Type: choiceInput, Options: vfs},
					{Name: "home.path", Label: "Folder in it", Type: monoInput, Placeholder: "/", Help: "{user} stands for the user's name."},
					{Name: "home.permissions", Label: "What users may do there", Type: choicesInput, Options: permissions},
				}},
				{Title: "Sign-in", Fields: []field{
					{Name: "auth", Label: "Ways to log in", Type: linesInput, Placeholder: "as the site says"},
					{Name: "allowFrom", Label: "Allowed addresses", Type: linesInput, Placeholder: "everywhere"},
				}},
			}
			return append(append(out, profileSections(vfs)...), accountSection("The users of the group")), nil
		},
	}
}

func vfsResource() resource {
	return resource{
		kind: model.KindVFS, path: "vfs", title: "Storage",
		lead:  "Folders of this machine where files lie, plain or encrypted.",
		empty: "There is no storage yet, so users have no home.",
		columns: []column{
			{Title: "Name", cell: nameCell},
			{Title: "Type", cell: func(o model.Object) cell {
				if o.(*model.VFS).Type == model.VFSEncrypted {
					return cell{Text: "Encrypted", State: "good"}
				}
				return cell{Text: "Plain", State: "off"}
			}},
			{Title: "Folder", cell: func(o model.Object) cell { return cell{Text: o.(*model.VFS).Root, Mono: true} }},
			{Title: "Description", Quiet: true, cell: described(func(o model.Object) string { return o.(*model.VFS).Description })},
		},
		trouble: folderTrouble, troubleAt: 2,
		start: values{"type": {string(model.VFSDisk)}},
		sections: func(*visit, string, map[string]any) ([]section, error) {
			return []section{
				{Title: "Place", Fields: []field{
					{Name: "name", Label: "Name", Type: textInput, Required: true, Fixed: true, Focus: true, Help: "It cannot change."},
					{Name: "description", Label: "Description", Type: areaInput},
					{Name: "type", Label: "Type", Type: choiceInput, Fixed: true, Options: []option{{Value: "disk", Text: "Plain files"}, {Value: "encrypted", Text: "Encrypted files"}}, Help: "Encrypted files are read by this server only. It cannot change."},
					{Name: "root", Label: "Folder of the machine", Type: monoInput, Required: true, Fixed: true, Placeholder: filepath.Join(here().Files, "main", "files"), Help: "It is made if it is not there, and tried as the account of the service. It cannot change."},
					{Name: "passphrase.clear", Label: "Passphrase", Type: secretInput, Fixed: true, Help: "For an encrypted folder that is to be opened on another machine. Without it the key ring of this server is needed, which every backup has."},
				}},
				{Title: "Limits", Fields: []field{
					{Name: "quota.hard", Label: "It may hold at most", Type: sizeInput, Placeholder: "no bound"},
					{Name: "quota.soft", Label: "No upload begins above", Type: sizeInput, Placeholder: "no bound"},
				}},
				{Title: "Files", Folded: true, Fields: []field{
					{Name: "inPlace", Label: "Write uploads under their own name at once", Type: flagInput, Help: "Others see half a file; otherwise it appears when it is whole."},
					{Name: "links", Label: "Let users make symbolic links", Type: flagInput, Help: "They never lead out of the storage."},
					{Name: "keepTimes", Label: "Decline times that clients set", Type: flagInput},
					{Name: "keepModes", Label: "Decline modes that clients set", Type: flagInput},
				}},
			}, nil
		},
		loss: func(_ *visit, o model.Object) string {
			return "The files in " + o.(*model.VFS).Root + " stay where they are; nobody reaches them by SFTP any more."
		},
	}
}

// folderTrouble is why the folder of a VFS cannot be opened, as of a minute ago at most.
func folderTrouble(v *visit, key model.Key) string {
	facts := v.known()
	if facts == nil {
		return ""
	}
	for _, f := range facts.Folders {
		if f.VFS == key {
			return f.Problem
		}
	}
	return ""
}

func bindingsResource() resource {
	return resource{
		kind: model.KindBinding, path: "bindings", title: "Bindings",
		lead:  "Where the site listens.",
		empty: "The site listens nowhere, so nobody can reach it.",
		columns: []column{
			{Title: "Name", cell: nameCell},
			{Title: "Address", cell: func(o model.Object) cell {
				b := o.(*model.Binding)
				address := b.Address
				if address == "" {
					address = "all addresses"
				}
				return cell{Text: fmt.Sprintf("%s, port %d", address, b.Port), Mono: true}
			}},
			{Title: "Node", Quiet: true, cell: described(func(o model.Object) string { return o.(*model.Binding).Node })},
			{Title: "State", cell: func(o model.Object) cell {
				if o.(*model.Binding).Disabled {
					return cell{Text: "Disabled", State: "off"}
				}
				return cell{Text: "Enabled", State: "good"}
			}},
		},
		start: values{"protocol": {"sftp"}, "port": {"2222"}},
		sections: func(v *visit, _ string, _ map[string]any) ([]section, error) {
			nodes := field{Name: "node", Label: "Node", Type: monoInput, Required: true}
			if v.who.Super() {
				list, err := v.names(model.KindNode, "", "")
				if err != nil {
					return nil, err
				}
				nodes.Type, nodes.Options, nodes.Lone = choiceInput, list[1:], true
			}
			return []section{{Title: "Binding", Fields: []field{
				{Name: "name", Label: "Name", Type: monoInput, Required: true, Fixed: true, Focus: true, Help: "Small letters, digits and hyphens. It cannot change."},
				nodes,
				{Name: "protocol", Label: "Protocol", Type: choiceInput, Options: []option{{Value: "sftp", Text: "SFTP"}}},
				{Name: "address", Label: "Address", Type: monoInput, Placeholder: "all of the node's addresses"},
				{Name: "port", Label: "Port", Type: numberInput, Required: true, Help: "22 is taken by the machine's own SSH server nearly always."},
				{Name: "proxyFrom", Label: "Load balancers", Type: linesInput, Placeholder: "none", Help: "Networks that tell the client's address by the PROXY protocol, and must; one a line."},
				{Name: "disabled", Label: "Disabled", Type: flagInput, Help: "Nobody is let in there any more. Sessions that run stay."},
			}}}, nil
		},
	}
}

func hostKeysResource() resource {
	return resource{
		kind: model.KindHostKey, path: "hostkeys", title: "Host keys",
		lead:  "What the site proves itself with. Clients warn when one changes.",
		empty: "The site has no host key, so no client can connect.",
		columns: []column{
			{Title: "Name", cell: nameCell},
			{Title: "Algorithm", cell: func(o model.Object) cell { return cell{Text: o.(*model.HostKey).Algorithm, Mono: true} }},
			{Title: "Fingerprint", Quiet: true, cell: func(o model.Object) cell { return cell{Text: o.(*model.HostKey).Fingerprint, Mono: true} }},
			{Title: "State", cell: func(o model.Object) cell {
				if o.(*model.HostKey).Disabled {
					return cell{Text: "Disabled", State: "off"}
				}
				return cell{Text: "Offered", State: "good"}
			}},
		},
		start: values{"algorithm": {"ssh-ed25519"}},
		sections: func(_ *visit, _ string, tree map[string]any) ([]section, error) {
			name := field{Name: "name", Label: "Name", Type: textInput, Required: true, Fixed: true, Focus: true, Help: "It cannot change."}
			if tree != nil {
				return []section{{Title: "Host key", Fields: []field{
					name,
					{Name: "fingerprint", Label: "Fingerprint", Type: monoInput, Fixed: true, Help: "What a client shows at its first connection. Tell it to your users."},
					{Name: "public", Label: "Public key", Type: areaInput, Fixed: true},
					{Name: "disabled", Label: "Disabled", Type: flagInput, Help: "It is offered to nobody any more."},
				}}}, nil
			}
			return []section{{Title: "Host key", Help: "One is drawn here, unless you bring one along. A weak one is refused with the reason.", Fields: []field{
				name,
				{Name: "algorithm", Label: "Draw a key of", Type: choiceInput, Options: []option{
					{Value: "ssh-ed25519", Text: "Ed25519"}, {Value: "ecdsa-sha2-nistp256", Text: "ECDSA, P-256"}, {Value: "ecdsa-sha2-nistp384", Text: "ECDSA, P-384"}, {Value: "ecdsa-sha2-nistp521", Text: "ECDSA, P-521"}, {Value: "ssh-rsa", Text: "RSA"}, {Text: "none: import the one below"},
				}},
				{Name: "private.clear", Label: "Import a private key", Type: pemInput, Bare: true, Placeholder: "-----BEGIN OPENSSH PRIVATE KEY-----", Help: "OpenSSH, PKCS#1, PKCS#8 or SEC 1. Choose none above."},
				{Name: "passphrase.clear", Label: "Passphrase of it", Type: secretInput, Bare: true},
			}}}, nil
		},
		loss: func(*visit, model.Object) string {
			return "Clients that know the site by this key only warn their users, and most refuse to connect."
		},
	}
}

func entriesResource() resource {
	return resource{
		kind: model.KindEntry, path: "entries", title: "Protector", inServer: true,
		lead:  "Addresses that are banned, allowed, or never banned.",
		empty: "No address is on a list. The Protector bans by itself who misbehaves.",
		columns: []column{
			{Title: "Network", cell: func(o model.Object) cell { return cell{Text: o.(*model.Entry).Network, Mono: true} }},
			{Title: "List", cell: func(o model.Object) cell {
				e := o.(*model.Entry)
				return cell{Text: string(e.List), State: map[model.List]string{model.ListBlock: "bad", model.ListAllow: "good", model.ListSafe: "good"}[e.List]}
			}},
			{Title: "Until", cell: func(o model.Object) cell {
				e := o.(*model.Entry)
				if e.Expires.IsZero() {
					return cell{Text: "for ever"}
				}
				return cell{Text: moment(e.Expires)}
			}},
			{Title: "Why", Quiet: true, cell: described(func(o model.Object) string {
				e := o.(*model.Entry)
				return strings.TrimSuffix(string(e.Reason)+", "+e.Notes, ", ")
			})},
		},
		start: values{"list": {"block"}},
		filter: func(*visit, string) (*filter, error) {
			return &filter{
				Label:   "List",
				Options: []option{{Text: "All lists"}, {Value: "block", Text: "Block"}, {Value: "allow", Text: "Allow"}, {Value: "safe", Text: "Safe"}},
				narrow:  func(q *rest.ListQuery, picked string) { q.Prefix = picked + ":" },
			}, nil
		},
		sections: func(_ *visit, _ string, _ map[string]any) ([]section, error) {
			return []section{{Title: "Entry", Fields: []field{
				{Name: "list", Label: "List", Type: choiceInput, Fixed: true, Options: []option{{Value: "block", Text: "Block: nobody there is let in"}, {Value: "allow", Text: "Allow: only who is on this list is let in"}, {Value: "safe", Text: "Safe: refused when it misbehaves, but never banned"}}},
				{Name: "network", Label: "Address or network", Type: monoInput, Required: true, Fixed: true, Focus: true, Placeholder: "192.0.2.0/24"},
				{Name: "expires", Label: "Until", Unit: "UTC", Type: momentInput, Help: "For ever if empty."},
				{Name: "notes", Label: "Notes", Type: areaInput},
			}}}, nil
		},
	}
}

func ldapResource() resource {
	return resource{
		kind: model.KindLDAP, path: "ldap", title: "Directories",
		lead:  "LDAP directories that check users' passwords.",
		empty: "No directory is asked. Users have passwords and keys of their own.",
		columns: []column{
			{Title: "Name", cell: nameCell},
			{Title: "Servers", cell: func(o model.Object) cell {
				return cell{Text: strings.Join(o.(*model.LDAPProfile).URLs, ", "), Mono: true}
			}},
			{Title: "State", cell: func(o model.Object) cell {
				if l := o.(*model.LDAPProfile); l.Disabled {
					return cell{Text: "Disabled", State: "off", Sub: l.Reason}
				}
				return cell{Text: "Enabled", State: "good"}
			}},
		},
		start: values{"filter": {"(uid=" + model.UserMark + ")"}},
		sections: func(*visit, string, map[string]any) ([]section, error) {
			return []section{
				{Title: "Servers", Fields: []field{
					{Name: "name", Label: "Name", Type: textInput, Required: true, Fixed: true, Focus: true, Help: "It cannot change."},
					{Name: "timeoutSeconds", Label: "Give up after", Unit: "seconds", Type: numberInput, Placeholder: "default"},
					{Name: "urls", Label: "Servers", Type: linesInput, Placeholder: "ldaps://ldap.example.com", Help: "Asked in their order, one a line."},
					{Name: "ca", Label: "Authorities", Type: areaInput, Placeholder: "those of the machine", Help: "Certificates in PEM that the servers' are checked against."},
					{Name: "startTLS", Label: "StartTLS", Type: flagInput, Help: "Encrypt an ldap:// connection before anything is said."},
				}},
				{Title: "Finding users", Fields: []field{
					{Name: "bindDN", Label: "Log in as", Type: monoInput, Placeholder: "cn=reader,dc=example,dc=com", Help: "Anonymously if empty."},
					{Name: "bindPassword.clear", Label: "Password", Type: secretInput},
					{Name: "baseDN", Label: "Search below", Type: monoInput, Placeholder: "dc=example,dc=com"},
					{Name: "filter", Label: "Filter", Type: monoInput, Help: "{user} stands for the name that was typed."},
					{Name: "domains", Label: "Domains", Type: linesInput, Placeholder: "none", Help: "Tried in their order for a name without one, one a line."},
				}},
				{Title: "Groups", Folded: true, Fields: []field{
					{Name: "groupAttribute", Label: "Attribute that names the groups", Type: monoInput, Placeholder: "memberOf"},
					{Name: "groups", Label: "Groups of the directory", Type: rowsInput, Fields: []field{
						{Name: "dn", Label: "In the directory", Type: monoInput, Placeholder: "cn=staff,dc=example,dc=com"},
						{Name: "group", Label: "Group of the site", Type: textInput},
					}},
				}},
				{Title: "Use", Fields: []field{
					{Name: "autocreate", Label: "Make users at their first log-in", Type: flagInput, Help: "Whom the directory knows is let in, as a member of the mapped groups."},
					{Name: "disabled", Label: "Disabled", Type: flagInput},
					{Name: "reason", Label: "Reason", Type: textInput},
				}},
			}, nil
		},
	}
}

func certificatesResource() resource {
	return resource{
		kind: model.KindCertificate, path: "certificates", title: "Certificates", inServer: true,
		lead:  "For TLS: those of the whole server serve these pages, as the settings say.",
		empty: "There is none of your own. These pages are served with one that the server made itself.",
		columns: []column{
			{Title: "Name", cell: nameCell},
			{Title: "Type", cell: described(func(o model.Object) string { return certificateWords[o.(*model.Certificate).Type] })},
			{Title: "Names", Quiet: true, cell: described(func(o model.Object) string { return strings.Join(o.(*model.Certificate).Domains, ", ") })},
			{Title: "Ends", cell: func(o model.Object) cell {
				if x := o.(*model.Certificate); !x.NotAfter.IsZero() {
					return cell{Text: moment(x.NotAfter)}
				}
				return cell{Text: "not there yet"}
			}},
		},
		start: values{"type": {string(model.CertPEM)}},
		sections: func(*visit, string, map[string]any) ([]section, error) {
			return []section{{Title: "Certificate", Fields: []field{
				{Name: "name", Label: "Name", Type: textInput, Required: true, Fixed: true, Focus: true, Help: "It cannot change."},
				{Name: "type", Label: "Where it comes from", Type: choiceInput, Options: []option{
					{Value: string(model.CertPEM), Text: certificateWords[model.CertPEM]},
					{Value: string(model.CertSelfSigned), Text: certificateWords[model.CertSelfSigned]},
					{Value: string(model.CertACME), Text: certificateWords[model.CertACME]},
				}},
				{Name: "domains", Label: "Names that it is for", Type: linesInput, Placeholder: "files.example.com", Help: "One a line; needed for an authority."},
				{Name: "chain", Label: "Certificate", Type: areaInput, Placeholder: "-----BEGIN CERTIFICATE-----", Help: "In PEM, its own first, then those between it and its authority. Only for one that you bring along."},
				{Name: "private.clear", Label: "Private key", Type: pemInput, Placeholder: "-----BEGIN PRIVATE KEY-----", Help: "In PEM."},
			}}}, nil
		},
	}
}

var certificateWords = map[model.CertificateType]string{
	model.CertPEM: "Brought along", model.CertSelfSigned: "Made here, self-signed", model.CertACME: "From an authority, by ACME",
}

func nodesResource() resource {
	return resource{
		kind: model.KindNode, path: "nodes", title: "Nodes",
		lead:  "The machines that serve this configuration. Clusters of several come in a later release.",
		empty: "There is no node.",
		columns: []column{
			{Title: "Name", cell: nameCell},
			{Title: "Description", cell: described(func(o model.Object) string { return o.(*model.Node).Description })},
			{Title: "Address", Quiet: true, cell: func(o model.Object) cell { return cell{Text: o.(*model.Node).Address, Mono: true} }},
		},
		sections: func(*visit, string, map[string]any) ([]section, error) {
			return []section{{Title: "Node", Fields: []field{
				{Name: "name", Label: "Name", Type: monoInput, Required: true, Fixed: true, Focus: true},
				{Name: "description", Label: "Description", Type: textInput, Help: "What the node is for."},
				{Name: "address", Label: "Address", Type: monoInput, Placeholder: "files.example.com:6443", Help: "Where other nodes reach this one."},
			}}}, nil
		},
	}
}

// administrator is the form of who signs in to these pages. One's own password and app are
// changed on the page of one's account, with the password that there is.
func administrator(email field, own bool) []section {
	signIn := section{Title: "Sign-in", Fields: []field{
		{Name: "password.clear", Label: "Password", Type: secretInput},
		{Name: "password.mustChange", Label: "Must be changed at the next log-in", Type: flagInput},
		{Name: "totp", Label: "Authenticator app", Type: dropInput, Help: "Tick it to let the person sign in without a code, when the phone is lost. People set up an app by themselves, on the page of their account."},
	}}
	if own {
		signIn = section{Title: "Sign-in", Help: "This is you: your password and your authenticator app are on the page of your account."}
	}
	signIn.Fields = append(signIn.Fields, field{
		Name: "allowFrom", Label: "Allowed addresses", Type: linesInput, Placeholder: "everywhere", Help: "Addresses and networks to sign in from, one a line.",
	})
	return []section{
		{Title: "Identity", Fields: []field{
			{Name: "name", Label: "Name", Type: textInput, Required: true, Fixed: true, Focus: true, Help: "It cannot change."},
			email,
		}},
		signIn,
	}
}

func contactState(a model.Account) cell {
	if a.Disabled {
		return cell{Text: "Disabled", State: "off"}
	}
	return cell{Text: "Enabled", State: "good"}
}

func appState(on bool) cell {
	if on {
		return cell{Text: "On", State: "good"}
	}
	return cell{Text: "Off", State: "off"}
}

func superAdminsResource() resource {
	return resource{
		kind: model.KindSuperAdmin, path: "superadmins", title: "SuperAdmins",
		lead:  "They may everything.",
		empty: "There is no SuperAdmin.",
		columns: []column{
			{Title: "Name", cell: nameCell},
			{Title: "State", cell: func(o model.Object) cell { return contactState(o.(*model.SuperAdmin).Account) }},
			{Title: "Authenticator", cell: func(o model.Object) cell { return appState(o.(*model.SuperAdmin).TOTP.On()) }},
			{Title: "E-mail", Quiet: true, cell: described(func(o model.Object) string { return o.(*model.SuperAdmin).Email })},
		},
		sections: func(v *visit, _ string, tree map[string]any) ([]section, error) {
			own := tree != nil && v.who.Name() == model.SuperAdminKey(text(tree["name"])).String()
			email := field{Name: "email", Label: "Recovery e-mail", Type: textInput, Required: true, Help: "Where a lost password is recovered with."}
			return append(administrator(email, own), accountSection("The SuperAdmin")), nil
		},
	}
}

func adminsResource() resource {
	return resource{
		kind: model.KindAdmin, path: "admins", title: "Admins",
		lead:   "They may what their rights say, in their sites.",
		filter: bySite,
		empty:  "There are no Admins. SuperAdmins rule all sites by themselves.",
		columns: []column{
			{Title: "Name", cell: nameCell},
			{Title: "State", cell: func(o model.Object) cell { return contactState(o.(*model.Admin).Account) }},
			{Title: "Sites", cell: described(func(o model.Object) string { return strings.Join(o.(*model.Admin).Sites, ", ") })},
			{Title: "Authenticator", Quiet: true, cell: func(o model.Object) cell { return appState(o.(*model.Admin).TOTP.On()) }},
			{Title: "E-mail", Quiet: true, cell: described(func(o model.Object) string { return o.(*model.Admin).Email })},
		},
		sections: func(v *visit, _ string, _ map[string]any) ([]section, error) {
			rights, err := rightsSection(v)
			return append(administrator(field{Name: "email", Label: "E-mail", Type: textInput}, false), rights, accountSection("The Admin")), err
		},
	}
}

// bySite narrows a list to who may something in a site.
func bySite(v *visit, _ string) (*filter, error) {
	sites, err := v.referredTo(model.KindSite, "", "Site ")
	return &filter{Label: "Site", Options: append([]option{{Text: "All sites"}}, sites...), narrow: referring}, err
}

// kindWords are the kinds that rights are over; a test holds that none is missing.
var kindWords = map[model.Kind]string{
	model.KindSite: "The site itself", model.KindCertificate: "Certificates", model.KindHostKey: "Host keys", model.KindBinding: "Bindings",
	model.KindVFS: "Storage", model.KindGroup: "Groups", model.KindLDAP: "LDAP profiles", model.KindUser: "Users and sessions",
	model.KindEntry: "Lists of the Protector", model.KindLegacy: "Kept objects of older versions",
}

func rightsSection(v *visit) (section, error) {
	sites, err := v.names(model.KindSite, "", "")
	if err != nil {
		return section{}, err
	}
	var kinds []option
	for _, k := range append([]model.Kind{model.KindSite}, model.FullRights().View...) {
		kinds = append(kinds, option{Value: string(k), Text: kindWords[k]})
	}
	return section{Title: "Rights", Fields: []field{
		{Name: "sites", Label: "Sites", Type: choicesInput, Options: sites[1:]},
		{Name: "rights.view", Label: "May see", Type: choicesInput, Options: kinds},
		{Name: "rights.edit", Label: "May see, make, change and delete", Type: choicesInput, Options: kinds, Help: "Sites are made and deleted by SuperAdmins only."},
	}}, nil
}

func tokensResource() resource {
	return resource{
		kind: model.KindToken, path: "tokens", title: "Tokens",
		lead:   "What programs use to reach the REST interface.",
		filter: bySite,
		empty:  "There are no tokens, so no program reaches the REST interface.",
		columns: []column{
			{Title: "Name", cell: nameCell},
			{Title: "Rights", cell: described(func(o model.Object) string {
				if t := o.(*model.Token); !t.Super {
					return strings.Join(t.Sites, ", ")
				}
				return "all"
			})},
			{Title: "State", cell: func(o model.Object) cell {
				if o.(*model.Token).Disabled {
					return cell{Text: "Disabled", State: "off"}
				}
				return cell{Text: "Enabled", State: "good"}
			}},
			{Title: "Description", Quiet: true, cell: described(func(o model.Object) string { return o.(*model.Token).Description })},
		},
		sections: func(v *visit, _ string, _ map[string]any) ([]section, error) {
			rights, err := rightsSection(v)
			return []section{
				{Title: "Token", Fields: []field{
					{Name: "name", Label: "Name", Type: monoInput, Required: true, Fixed: true, Focus: true, Help: "Small letters, digits and hyphens. It cannot change."},
					{Name: "description", Label: "Description", Type: textInput, Help: "What it is for."},
					{Name: "super", Label: "All rights", Type: flagInput, Help: "Those of a SuperAdmin, instead of those below."},
					{Name: "allowFrom", Label: "Allowed addresses", Type: linesInput, Placeholder: "everywhere"},
					{Name: "expires", Label: "Ends", Unit: "UTC", Type: momentInput, Help: "Never if empty."},
					{Name: "disabled", Label: "Disabled", Type: flagInput},
				}}, rights,
			}, err
		},
	}
}

// legacyResource is what an import kept of another version and has no use for.
func legacyResource() resource {
	return resource{
		kind: model.KindLegacy, path: "legacy", title: "Kept objects", inServer: true, kept: true, rare: true,
		lead:  "What an import found and this version has no use for. Nothing reads it; it may be deleted.",
		empty: "An import kept nothing that this version has no use for.",
		columns: []column{
			{Title: "Name", cell: nameCell},
			{Title: "Was", cell: described(func(o model.Object) string { return o.(*model.Legacy).Type })},
			{Title: "Of version", cell: described(func(o model.Object) string { return o.(*model.Legacy).Source })},
		},
		sections: func(*visit, string, map[string]any) ([]section, error) {
			return []section{{Title: "Kept object", Fields: []field{
				{Name: "name", Label: "Name", Type: textInput, Fixed: true},
				{Name: "type", Label: "Was", Type: monoInput, Fixed: true},
				{Name: "source", Label: "Of version", Type: monoInput, Fixed: true},
			}}}, nil
		},
		above: func(v *visit, key model.Key) (string, any, error) {
			o, err := v.who.Get(key)
			if err != nil {
				return "", nil, err
			}
			var out bytes.Buffer
			if err := json.Indent(&out, o.(*model.Legacy).Data, "", "  "); err != nil {
				return "", nil, nil // an import wrote none
			}
			return "legacy", cut(out.String(), maxKept), nil
		},
		loss: func(*visit, model.Object) string {
			return "Nothing uses it. Whoever wants to look at it later needs the backup that it came from."
		},
	}
}

// maxKept bounds what a page shows of a kept object, in bytes.
const maxKept = 64 << 10

func settingsResource() resource {
	return resource{
		kind: model.KindSettings, path: "settings", title: "Settings", single: true,
		lead: "They hold for the whole server. What an empty field means stands in it.",
		sections: func(*visit, string, map[string]any) ([]section, error) {
			return []section{
				{Title: "Web pages and REST", Fields: []field{
					{Name: "web.sessionMinutes", Label: "Sessions end after", Unit: "minutes", Type: numberInput, Placeholder: "30", Help: "Without anything being asked."},
					{Name: "web.requestsPerMinute", Label: "Requests of one address a minute", Type: numberInput, Placeholder: "1200"},
					{Name: "web.certificate", Label: "Certificate", Type: textInput, Placeholder: "the self-signed one", Help: "The name of a certificate of the server."},
					{Name: "web.trustedProxies", Label: "Trusted proxies", Type: linesInput, Placeholder: "none", Help: "Networks whose X-Forwarded-For is believed, one a line."},
				}},
				protectorSection("Protector of these pages", "When addresses are banned that sign in here wrongly."),
				passwordSection("New passwords of administrators must have"),
				{Title: "Mail", Folded: true, Help: "Where messages for recovery are handed in.", Fields: []field{
					{Name: "mail.host", Label: "Server", Type: monoInput},
					{Name: "mail.port", Label: "Port", Type: numberInput},
					{Name: "mail.tls", Label: "Encryption", Type: choiceInput, Options: []option{{Text: "Default: StartTLS"}, {Value: "starttls", Text: "StartTLS"}, {Value: "tls", Text: "TLS"}, {Value: "none", Text: "None"}}},
					{Name: "mail.user", Label: "User", Type: textInput},
					{Name: "mail.password.clear", Label: "Password", Type: secretInput},
					{Name: "mail.from", Label: "Sender", Type: textInput},
				}},
				{Title: "Logs and snapshots", Folded: true, Fields: []field{
					{Name: "log.level", Label: "Level of the log", Type: choiceInput, Options: []option{{Text: "Default: info"}, {Value: "debug", Text: "debug"}, {Value: "info", Text: "info"}, {Value: "warn", Text: "warn"}, {Value: "error", Text: "error"}}},
					{Name: "log.maxMB", Label: "A file of the audit log ends at", Unit: "MB", Type: numberInput},
					{Name: "log.maxFiles", Label: "Files of it", Type: numberInput},
					{Name: "log.keepDays", Label: "Kept for", Unit: "days", Type: numberInput},
					{Name: "snapshots.hour", Label: "Hour of the daily snapshot", Type: numberInput, Placeholder: "0"},
				}},
				{Title: "Certificates by ACME", Folded: true, Fields: []field{
					{Name: "acme.directory", Label: "Authority", Type: monoInput, Placeholder: "Let's Encrypt"},
					{Name: "acme.email", Label: "E-mail", Type: textInput},
				}},
			}, nil
		},
	}
}
