package report

import "slices"

// Rule names the rule of docs/upgrading.md under which something happened.
type Rule string

// The rules, in the order in which reports show them.
const (
	OldRelease     Rule = "old-release"
	WindowsAccount Rule = "windows-accounts"
	Directory      Rule = "directory-accounts"
	LDAPSettings   Rule = "ldap-settings"
	EncryptedVFS   Rule = "encrypted-vfs"
	VFSType        Rule = "vfs-types"
	Quotas         Rule = "quotas"
	Passwords      Rule = "passwords"
	SecondFactor   Rule = "second-factor"
	Protocols      Rule = "protocols"
	RSAKeys        Rule = "rsa-user-keys"
	UserKeys       Rule = "user-keys"
	HostKeys       Rule = "host-keys"
	Algorithms     Rule = "algorithms"
	Certificates   Rule = "certificates"
	Scripts        Rule = "scripts"
	Bindings       Rule = "bindings"
	Lists          Rule = "lists"
	Rights         Rule = "rights"
	Names          Rule = "names"
	Dates          Rule = "dates"
	References     Rule = "references"
	Duplicates     Rule = "duplicates"
	NotValid       Rule = "not-valid"
	Nodes          Rule = "nodes"
	Licenses       Rule = "licenses"
	UserLimit      Rule = "user-limit"
	OtherSettings  Rule = "settings"
	NotUnderstood  Rule = "not-understood"
)

var rules = []struct {
	rule         Rule
	title, about string
}{
	{OldRelease, "The source", "What the backup says of the product that made it."},
	{WindowsAccount, "Windows users and groups", "Accounts of Windows itself are no longer supported and are dropped."},
	{Directory, "Active Directory users and groups", "They are LDAP users and groups now, and need a working LDAP profile."},
	{LDAPSettings, "LDAP profiles", "Profiles that no longer pass are imported disabled."},
	{EncryptedVFS, "Encrypted VFSs", "Old encrypted storage cannot be read here. It is dropped, with everybody who uses it; the files stay as they are."},
	{VFSType, "Storage of other kinds", "Storage that is not served here is kept without a use; whose home lies there may not log in."},
	{Quotas, "Quotas", "Bounds that contradict each other were put right."},
	{Passwords, "Passwords", "Passwords that cannot be checked here, or may fail."},
	{SecondFactor, "Second factors", "Authenticator apps that must be set up again."},
	{Protocols, "Protocols", "Who could not use SFTP may not log in."},
	{RSAKeys, "Users with RSA keys only", "Old clients sign with SHA-1, which is switched off; newer ones work."},
	{UserKeys, "Keys of users", "Public keys that cannot be used."},
	{HostKeys, "Host keys", "Weak and unreadable keys are replaced: tell users the new fingerprints."},
	{Algorithms, "Algorithms", "Obsolete algorithms were switched off."},
	{Certificates, "Certificates", "Certificates must be PEM here."},
	{Scripts, "Scripts and event handlers", "What is not run here."},
	{Bindings, "Bindings", "Addresses and ports that are not served as before."},
	{Lists, "Block, allow and safe lists", "Entries that could not be taken over as they were."},
	{Rights, "Rights", "Rights and permissions that are not exactly the old ones."},
	{Names, "Names", "Names that are not allowed here were changed."},
	{Dates, "Dates", "Dates that make no sense."},
	{References, "References", "What refers to things that the source does not have."},
	{Duplicates, "Doubles", "What was there more than once."},
	{NotValid, "Not valid", "What cannot be as the source has it."},
	{Nodes, "Nodes", "The machines of the old product."},
	{Licenses, "Licenses", "Licenses of older versions are not valid here."},
	{UserLimit, "Number of users", "Editions have bounds; nobody is disabled for them."},
	{OtherSettings, "Settings", "Settings that have no place here, or another one."},
	{NotUnderstood, "Not understood", "Parts of the source that nobody here knows."},
}

// Title is the heading of a rule, About a sentence on it.
func (r Rule) Title() string {
	if i := r.index(); i < len(rules) {
		return rules[i].title
	}
	return string(r)
}

// About is a sentence on the rule.
func (r Rule) About() string {
	if i := r.index(); i < len(rules) {
		return rules[i].about
	}
	return ""
}

func (r Rule) index() int {
	for i := range rules {
		if rules[i].rule == r {
			return i
		}
	}
	return len(rules)
}

// Rules are all rules, in the order of reports.
func Rules() []Rule {
	out := make([]Rule, len(rules))
	for i := range rules {
		out[i] = rules[i].rule
	}
	return out
}

// section is the lines of one rule.
type section struct {
	Rule  Rule
	Lines []Line
}

// sections are the lines by rule; within one they stay in their order, the grave first.
func (r *Report) sections() []section {
	by := map[Rule][]Line{}
	for _, l := range r.Lines {
		by[l.Rule] = append(by[l.Rule], l)
	}
	var out []section
	for _, rule := range Rules() {
		if lines := by[rule]; len(lines) > 0 {
			slices.SortStableFunc(lines, func(a, b Line) int { return gravity(a.Outcome) - gravity(b.Outcome) })
			out = append(out, section{rule, lines})
		}
	}
	return out
}

func gravity(o Outcome) int {
	return slices.Index([]Outcome{Dropped, Disabled, Action, Changed, Kept, Made, Warning}, o)
}
