package rest

import (
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// everyObject are the fields that all kinds have.
var everyObject = map[string]string{
	"name":     "The name as people write it. It cannot change; case and accents written in another way make no other name.",
	"rev":      "The revision, which is also the ETag.",
	"created":  "When it was made.",
	"modified": "When it was changed last.",
	"by":       "Who changed it last, as superadmin/sa, admin/otto, token/robot or system.",
	"site":     "The site that it belongs to: that of the path.",
}

// everyAccount are the fields that say whether an account may be used.
var everyAccount = map[string]string{
	"disabled":    "The account may not be used. Sessions end.",
	"reason":      "Why it is disabled, for people.",
	"enableFrom":  "It may not be used before.",
	"disableFrom": "It may not be used from then on.",
}

// profile are the fields that a user may have from a group.
var profile = map[string]string{
	"home":        "The folder that the user sees as /.",
	"folders":     "Folders that the user sees under other paths; those of all groups are added.",
	"overrides":   "Other permissions for paths within; those of all groups are added.",
	"quota":       "What the home may hold.",
	"speed":       "Bounds for transfers; of those whose network fits, the narrowest network counts.",
	"allowFrom":   "The addresses and networks to log in from; all if empty.",
	"auth":        "The ways to log in, any of which is enough: publickey, password, keyboard-interactive, and each with ,totp behind it.",
	"maxSessions": "How many sessions at once; 0 is no bound of the user's own.",
}

// contact are the fields of people who log in to this interface.
var contact = map[string]string{
	"email":     "Where a lost password is recovered with.",
	"password":  "The password.",
	"totp":      "The authenticator app.",
	"allowFrom": "The addresses and networks to log in from; all if empty.",
}

// words describe the fields of the objects that administrators write.
var words = map[string][]map[string]string{
	"Node": {everyObject, {
		"description": "What the node is for.",
		"address":     "Where other nodes reach this one, as HOST:PORT.",
	}},
	"SuperAdmin": {everyObject, everyAccount, contact},
	"Admin": {everyObject, everyAccount, contact, {
		"sites":  "The sites that are ruled.",
		"rights": "What may be seen and changed there.",
	}},
	"Token": {everyObject, {
		"description": "What it is for.",
		"super":       "All rights, instead of rights over sites.",
		"sites":       "The sites that the rights are for.",
		"rights":      "What may be seen and changed there.",
		"allowFrom":   "The addresses and networks to use it from; all if empty.",
		"expires":     "It may not be used from then on.",
		"disabled":    "It may not be used.",
	}},
	"Rights": {{
		"view": "The kinds of objects that may be seen.",
		"edit": "The kinds of objects that may be seen, made, changed and deleted.",
	}},
	"Site": {everyObject, {
		"title":        "What people call the site.",
		"manual":       "The site waits for a start by hand when the server starts.",
		"ssh":          "How the site speaks SSH.",
		"limits":       "How many may come, and how long they may take.",
		"protector":    "When addresses are banned.",
		"passwordRule": "What new passwords of users must have.",
		"speed":        "Bounds for all transfers of the site together.",
	}},
	"SSH": {{
		"softwareId":   "What the first line says behind SSH-2.0-; the product if empty.",
		"banner":       "A text that clients show before the log-in.",
		"auth":         "The ways to log in of users who name none, as in users; a key or a password if empty.",
		"keyExchanges": "The key exchanges, the preferred one first; the safe ones of the release if empty.",
		"ciphers":      "The ciphers, likewise.",
		"macs":         "The message authentication codes, likewise.",
		"userKeys":     "The signatures that users' keys may make, likewise.",
		"hostKeys":     "The signatures that the site's keys make, likewise.",
	}},
	"Limits": {{
		"connections":  "How many connections at once; 0 is the standard, -1 no bound.",
		"perAddress":   "How many of one address; 0 is the standard, -1 no bound.",
		"perUser":      "How many sessions of one user; 0 is the standard, -1 no bound.",
		"idleSeconds":  "When a session ends in which nothing happens; 0 is 30 minutes, -1 never.",
		"loginSeconds": "How long a log-in may take; 0 is a minute.",
	}},
	"Protector": {{
		"level":         "How much is put up with: off bans nobody, indulgent counts log-ins that fail, normal also who does not log in or speak the protocol, strict also requests that fail, paranoid all of it twice. Empty is normal.",
		"threshold":     "How many offences ban an address; 0 is 10.",
		"windowMinutes": "The minutes in which they count; 0 is 10.",
		"banMinutes":    "How long the first ban lasts, in minutes; 0 is 30.",
		"growPercent":   "By how much per cent a ban grows when its address comes again; 0 is 50.",
	}},
	"PasswordRule": {{
		"minLength": "How many characters at least; 0 is 10.",
		"upper":     "One capital letter at least.",
		"lower":     "One small letter at least.",
		"digit":     "One digit at least.",
		"special":   "One other character at least.",
	}},
	"SpeedLimit": {{
		"from": "The network that it holds for; everybody if empty.",
		"up":   "Bytes a second that are uploaded; 0 is no bound.",
		"down": "Bytes a second that are downloaded; 0 is no bound.",
	}},
	"Binding": {everyObject, {
		"node":      "The node that listens.",
		"protocol":  "What is spoken there; sftp if it is left out.",
		"address":   "One of the node's addresses; all of them if empty.",
		"port":      "The port.",
		"proxyFrom": "Load balancers that say with the PROXY protocol whose connection it is, and must.",
		"disabled":  "Nothing listens there.",
	}},
	"User": {everyObject, everyAccount, profile, {
		"email":       "The user's address.",
		"description": "What is to know of the user.",
		"groups":      "The groups that give what the user has not of his own; of each setting the first that has it counts.",
		"password":    "The password, unless a directory checks it.",
		"keys":        "The public keys to log in with.",
		"totp":        "The authenticator app. Who has one is asked for its code in every way.",
		"ldap":        "The LDAP profile that checks the password.",
		"ldapGroups":  "Each log-in by the directory brings the groups that its profile maps to what it says; others stay, and count first.",
	}},
	"Group": {everyObject, everyAccount, profile, {
		"description": "What the group is for.",
		"disabled":    "Its users may not log in.",
		"enableFrom":  "Its users may not log in before.",
		"disableFrom": "Its users may not log in from then on.",
		"home":        "The home of users who have none; {user} in its path stands for the user's name.",
	}},
	"PublicKey": {{
		"name":        "What people call the key; its comment if it is left out.",
		"key":         "A line of authorized_keys without options: type and base64.",
		"fingerprint": "The key's fingerprint, as SHA256:...",
		"added":       "When it came.",
		"expires":     "It may not be used from then on.",
	}},
	"Folder": {{
		"vfs":         "The VFS.",
		"path":        "The folder in it, / if empty; {user} stands for the user's name.",
		"permissions": "What the user may do there and below.",
	}},
	"VirtualFolder": {{
		"mount":       "Where the user sees it, as /invoices/in.",
		"vfs":         "The VFS.",
		"path":        "The folder in it, / if empty; {user} stands for the user's name.",
		"permissions": "What the user may do there and below: overwrite is replacing a file, resume writing into one that is there, attributes setting times and modes, link making symbolic links.",
		"hidden":      "Listings leave it out; who knows the path gets in.",
	}},
	"PathPermissions": {{
		"path":        "The path as the user sees it.",
		"permissions": "What the user may do there and below, instead of what holds above.",
	}},
	"Quota": {{
		"soft": "Bytes at which no upload begins any more; 0 is no bound.",
		"hard": "Bytes at which an upload is cut; 0 is no bound.",
	}},
	"VFS": {everyObject, {
		"description": "What it is for.",
		"type":        "disk keeps files as they are, encrypted encrypts them; disk if it is left out. It cannot change.",
		"root":        "The folder of the machine, from the root on. It cannot change.",
		"quota":       "What all of it may hold.",
		"keyId":       "The name of its key in the key ring.",
		"passphrase":  "What wraps the key of an encrypted VFS instead of the node's master key. It cannot change.",
		"inPlace":     "Uploads are written under their own name from the first byte, and not under another one until they are done.",
		"links":       "Users may make symbolic links, none of which leads out.",
		"keepTimes":   "The times that clients ask for after an upload are declined in silence.",
		"keepModes":   "The modes that clients ask for after an upload are declined in silence.",
	}},
	"LDAPProfile": {everyObject, {
		"urls":           "The servers in the order in which they are asked, as ldaps://ldap.example.com.",
		"startTLS":       "An ldap:// connection is encrypted before anything is said.",
		"ca":             "Certificates as PEM that the servers' are checked against; those of the machine if empty.",
		"bindDN":         "The account that searches; nobody if empty.",
		"bindPassword":   "Its password. It is to be given again when it would go to another server.",
		"baseDN":         "Where users are searched, as dc=example,dc=com.",
		"filter":         "How a user is found, with {user} for the name: (uid={user}).",
		"domains":        "Domains that are tried for a name without one.",
		"groups":         "Which group of the directory makes a user a member of which one of the site.",
		"groupAttribute": "The attribute of a user that names the groups; memberOf if empty.",
		"timeoutSeconds": "How long each step may take; 0 is 10 seconds.",
		"autocreate":     "Users whom only the directory knows are made at their first log-in, if one of their groups is mapped.",
		"disabled":       "Nobody is asked; its users cannot log in by password.",
		"reason":         "Why it is disabled, for people.",
	}},
	"LDAPGroup": {{
		"dn":    "The group's name in the directory.",
		"group": "The group of the site.",
	}},
	"HostKey": {everyObject, {
		"algorithm":   "The algorithm of the public key.",
		"public":      "The public key as a line of a .pub file.",
		"fingerprint": "The key's fingerprint, as SHA256:...",
		"private":     "The private key as PEM.",
		"disabled":    "The site does not prove itself with it.",
	}},
	"Certificate": {everyObject, {
		"type":        "self-signed is made here, pem is given, acme is asked for from an authority.",
		"domains":     "The names and addresses that it is for.",
		"chain":       "The certificate as PEM, and behind it those between it and its authority.",
		"private":     "Its private key as PEM.",
		"notBefore":   "When it begins.",
		"notAfter":    "When it ends.",
		"fingerprint": "The SHA-256 of the certificate.",
	}},
	"Entry": {everyObject, {
		"name":     "LIST:NETWORK; the server makes it.",
		"list":     "block refuses; allow, if it has entries, refuses everybody else; safe is never banned. An entry of the server holds for all sites and for this interface.",
		"network":  "The address or network, as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32.",
		"expires":  "When it ends; never if it is left out.",
		"reason":   "manual if an administrator made it; else what the Protector took offence at: auth, hammering or protocol.",
		"offences": "How often the address was banned.",
		"notes":    "What is to know of it.",
	}},
	"Legacy": {everyObject, {
		"source": "The version of the product that it comes from.",
		"type":   "What it was there.",
		"data":   "What it said there, without what is secret.",
		"whole":  "All of it, kept encrypted, where it had something secret.",
	}},
	"Secret": {{
		"clear": "The secret, to set it. It is never told.",
		"set":   "There is one. Sent back alone it stays.",
	}},
	"Password": {{
		"clear":      "The password, to set it. It is never told.",
		"set":        "There is one. Sent back alone it stays.",
		"mustChange": "A log-in is possible only to choose another.",
		"mustSet":    "It came from elsewhere in a form that cannot be checked: set another.",
		"legacy":     "It came from a version whose passwords with other letters than ASCII may fail.",
		"changed":    "When it was chosen.",
	}},
	"TOTP": {{"secret": "The secret in base32 that the app has, too."}},
	"Settings": {everyObject, {
		"name":         "There is one object of this kind.",
		"web":          "The web pages and this interface.",
		"mail":         "Where mail is handed in.",
		"log":          "The server's log, and how much of the audit log is kept.",
		"snapshots":    "The daily copies of the configuration.",
		"acme":         "How certificates are asked for from an authority.",
		"protector":    "When addresses are banned that log in to this interface wrongly.",
		"passwordRule": "What new passwords of SuperAdmins and Admins must have.",
	}},
	"WebSettings": {{
		"sessionMinutes":    "When a session ends that is left alone; 0 is 30.",
		"certificate":       "The certificate of the server that is shown; the one made at the first start if empty.",
		"trustedProxies":    "Proxies that tell the client's address in X-Forwarded-For.",
		"requestsPerMinute": "How much an address, and a caller, may ask; 0 is 1200.",
	}},
	"MailSettings": {{
		"host":     "The server; no mail if empty.",
		"port":     "Its port; 0 is the usual one.",
		"tls":      "How it is encrypted: from the first byte (tls), from the command on (starttls), not at all (none).",
		"user":     "Who logs in there; nobody if empty.",
		"password": "The password. It is to be given again when it would go to another server.",
		"from":     "The sender of mail.",
	}},
	"LogSettings": {{
		"level":    "debug, info, warn or error: how much the server logs, where the configuration file of the machine says nothing; info if empty. It holds at once.",
		"maxMB":    "The size in MiB at which a new file of the audit log begins; 0 is 32.",
		"maxFiles": "How many files of the audit log are kept; 0 is 30.",
		"keepDays": "How many days the audit log is kept; 0 is 365.",
	}},
	"SnapshotSettings": {{"hour": "The hour of the day, by the clock of the machine; 0 is 3."}},
	"ACMESettings": {{
		"directory": "The address of the authority's directory; Let's Encrypt if empty.",
		"email":     "Where the authority writes to.",
		"account":   "The key that the authority knows the server by.",
	}},
}

// tellFields puts the words into the document; of two for one field the later counts.
func tellFields(schemas map[string]*huma.Schema) {
	for name, s := range schemas {
		for field, p := range s.Properties {
			for _, list := range slices.Backward(words[name]) {
				if text := list[field]; text != "" && p.Description == "" {
					p.Description = text
				}
			}
		}
	}
}
