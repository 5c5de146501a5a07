package answers

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// MaxSize bounds an answers file: it is a page of text.
const MaxSize = 64 << 10

// Foreign are the keys of an answers file that are not about the set-up: those of
// ss-setup. A test of ss-setup's keeps the list right.
var Foreign = []string{
	"from", "version", "channel", "mirror", "proxy", "ca_file", "web_port", "license_port", "license_mode", "license_server",
	"service_user", "open_firewall",
	"import", "import_password_file", "accept_drops", "v6_url", "v6_superadmin", "v6_password", "v6_password_file",
	"health_timeout", "log",
}

// Key is an answer: a key, or several with dots between.
type Key struct {
	Name string
	// Allowed says what its values are, Standard what holds without it, Text what it is.
	Allowed, Standard, Text string

	kind kind
	set  func(a *Answers, value string)
	add  func(a *Answers, values []string)
}

type kind int

const (
	text kind = iota
	number
	boolean
	texts
)

// Keys are all answers of a set-up.
var Keys = []Key{
	{Name: "node_id", Allowed: "small letters, digits and hyphens", Standard: "one is made, such as romantic-lovelace", Text: "Name of this node, for ever.", set: func(a *Answers, v string) { a.NodeID = v }},
	{Name: "description", Allowed: "one line", Standard: "none", Text: "What the node is for.", set: func(a *Answers, v string) { a.Description = v }},
	{Name: "recovery_email", Allowed: "an e-mail address", Standard: "none; there must be one", Text: "Where the SuperAdmin is reached when a password is lost.", set: func(a *Answers, v string) { a.RecoveryEmail = v }},
	{Name: "sftp_port", Allowed: "a number from 1 to 65535", Standard: "22, or 2222 where 22 is taken", Text: "Where the first site listens.", kind: number, set: func(a *Answers, v string) { a.SFTPPort, _ = strconv.Atoi(v) }},
	{Name: "superadmin.name", Allowed: "a name", Standard: DefaultSuperAdmin, Text: "The SuperAdmin.", set: func(a *Answers, v string) { a.superAdmin().Name = v }},
	{Name: "superadmin.password", Allowed: "a password of 10 characters at least, or its hash ($argon2id$…)", Standard: "none; there must be one", Text: "Its password.", set: func(a *Answers, v string) { a.superAdmin().Password = v }},
	{Name: "superadmin.password_file", Allowed: "a file", Standard: "none", Text: "A file whose first line is the password.", set: func(a *Answers, v string) { a.superAdmin().PasswordFile = v }},
	{Name: "first_site.name", Allowed: "small letters, digits and hyphens", Standard: DefaultSite, Text: "The first virtual site.", set: func(a *Answers, v string) { a.site().Name = v }},
	{Name: "first_site.title", Allowed: "one line", Standard: "none", Text: "What people call it.", set: func(a *Answers, v string) { a.site().Title = v }},
	{Name: "first_site.address", Allowed: "an address of this machine", Standard: "all of them", Text: "Where it listens.", set: func(a *Answers, v string) { a.site().Address = v }},
	{Name: "first_site.folder", Allowed: "a folder of this machine", Standard: "the site's name in the server's folder for files", Text: "Where its files lie.", set: func(a *Answers, v string) { a.site().Folder = v }},
	{Name: "first_site.encrypted", Allowed: "true or false", Standard: "false", Text: "Encrypt what is stored; the folder must be empty.", kind: boolean, set: func(a *Answers, v string) { a.site().Encrypted = v == "true" }},
	{Name: "first_site.host_keys", Allowed: "a list of ed25519 and ecdsa", Standard: "both", Text: "The host keys that are made.", kind: texts, add: func(a *Answers, v []string) { a.site().HostKeys = v }},
	{Name: "first_site.user.name", Allowed: "a name", Standard: "none; there must be one", Text: "The site's first user.", set: func(a *Answers, v string) { a.user().Name = v }},
	{Name: "first_site.user.email", Allowed: "an e-mail address", Standard: "none", Text: "Where the user is reached.", set: func(a *Answers, v string) { a.user().Email = v }},
	{Name: "first_site.user.password", Allowed: "a password of 10 characters at least, or its hash ($argon2id$…)", Standard: "none", Text: "The user's password.", set: func(a *Answers, v string) { a.user().Password = v }},
	{Name: "first_site.user.password_file", Allowed: "a file", Standard: "none", Text: "A file whose first line is the password.", set: func(a *Answers, v string) { a.user().PasswordFile = v }},
	{Name: "first_site.user.public_keys", Allowed: "a list of lines as in a .pub file", Standard: "none", Text: "The keys that the user logs in with.", kind: texts, add: func(a *Answers, v []string) { a.user().PublicKeys = v }},
}

func (a *Answers) superAdmin() *SuperAdmin {
	if a.SuperAdmin == nil {
		a.SuperAdmin = &SuperAdmin{}
	}
	return a.SuperAdmin
}

func (a *Answers) site() *Site {
	if a.FirstSite == nil {
		a.FirstSite = &Site{}
	}
	return a.FirstSite
}

func (a *Answers) user() *User {
	if s := a.site(); s.User == nil {
		s.User = &User{}
	}
	return a.FirstSite.User
}

// Mine tells whether a key at the top of an answers file is about the set-up.
func Mine(key string) bool {
	return slices.ContainsFunc(Keys, func(k Key) bool { return k.Name == key || strings.HasPrefix(k.Name, key+".") })
}

// File is what an answers file says of the set-up.
type File struct {
	// Answers are nil if it says nothing.
	Answers *Answers

	name  string
	lines map[string]int
}

// Load reads the answers in a file. Passwords in clear text are taken from a file that
// nobody but root, or who runs this, can read.
func Load(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > MaxSize {
		return nil, fmt.Errorf("%w: %s is not a text file of at most %d KiB", ErrInvalid, path, MaxSize>>10)
	}
	content, err := io.ReadAll(io.LimitReader(f, MaxSize))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return Parse(path, content, private(f))
}

// Parse reads the text of an answers file; name is what errors call it. Where it is not
// private, passwords in clear text are refused.
func Parse(name string, content []byte, private bool) (*File, error) {
	f := &File{name: name, lines: map[string]int{}}
	file, err := parser.ParseBytes(content, 0)
	if err != nil {
		return nil, syntax(name, err)
	}
	if len(file.Docs) > 1 {
		return nil, f.fail(LineOf(file.Docs[1]), "the file has a second document; one file is one list of keys")
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return f, nil
	}
	entries, ok := mapping(file.Docs[0].Body)
	if !ok {
		return nil, f.fail(LineOf(file.Docs[0].Body), "a list of keys is wanted, such as node_id: romantic-lovelace")
	}
	if !private {
		// First of all, whatever else is wrong: who may read it has read it.
		if found, _ := ClearPassword(file.Docs[0].Body); found != nil {
			return nil, f.fail(LineOf(found), "%s", ClearPasswordCure(name))
		}
	}
	return f, f.section("", entries)
}

// mapping is the entries of a node that has some.
func mapping(n ast.Node) (entries []*ast.MappingValueNode, ok bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	case *ast.CommentGroupNode:
		return nil, true
	}
	return nil, false
}

// section reads the keys below a prefix.
func (f *File) section(prefix string, entries []*ast.MappingValueNode) error {
	for _, e := range entries {
		name := prefix + KeyName(e)
		if prefix == "" && slices.Contains(Foreign, name) {
			continue
		}
		if f.lines[name] > 0 {
			return f.fail(LineOf(e.Key), "%s is there already in line %d", name, f.lines[name])
		}
		f.lines[name] = max(1, LineOf(e.Key))
		i := slices.IndexFunc(Keys, func(k Key) bool { return k.Name == name })
		switch {
		case i >= 0:
			if err := f.take(Keys[i], e); err != nil {
				return err
			}
		case Mine(name):
			inner, ok := mapping(e.Value)
			if !ok {
				return f.fail(LineOf(e.Key), "%s has no keys below it; there are %s", name, below(name+"."))
			}
			if err := f.section(name+".", inner); err != nil {
				return err
			}
		default:
			return f.fail(LineOf(e.Key), "there is no key %q; there are %s", name, below(prefix))
		}
	}
	return nil
}

// below lists the keys that a section may have.
func below(prefix string) string {
	var list []string
	for _, k := range Keys {
		if rest, ok := strings.CutPrefix(k.Name, prefix); ok {
			first, _, _ := strings.Cut(rest, ".")
			list = append(list, first)
		}
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ", ")
}

func (f *File) take(k Key, e *ast.MappingValueNode) error {
	if f.Answers == nil {
		f.Answers = &Answers{}
	}
	if k.kind == texts {
		list, err := listOf(e.Value)
		if err != nil {
			return f.fail(LineOf(e.Key), "%s %v; it can be %s", k.Name, err, k.Allowed)
		}
		k.add(f.Answers, list)
		return nil
	}
	value, err := f.value(k, e)
	if err != nil {
		return f.fail(LineOf(e.Key), "%s %v; it can be %s", k.Name, err, k.Allowed)
	}
	k.set(f.Answers, value)
	return nil
}

func (f *File) value(k Key, e *ast.MappingValueNode) (string, error) {
	want := Text
	switch k.kind {
	case number:
		want = Number
	case boolean:
		want = Boolean
	}
	value, err := Scalar(e.Value, want)
	if err != nil {
		return "", hide(k, err)
	}
	if k.kind != number {
		return value, nil
	}
	if n, err := strconv.Atoi(value); err != nil || n < 1 || n > 65535 {
		return "", fmt.Errorf("is %s", value)
	}
	return value, nil
}

// hide keeps a password out of an error.
func hide(k Key, err error) error {
	if strings.HasSuffix(k.Name, "password") && strings.HasSuffix(err.Error(), "which is no text") {
		return errors.New("is no text; put it between quotes")
	}
	return err
}

func listOf(n ast.Node) (list []string, err error) {
	sequence, ok := n.(*ast.SequenceNode)
	if !ok || len(sequence.Values) == 0 {
		return nil, errors.New("is not a list")
	}
	for _, v := range sequence.Values {
		value, err := Scalar(v, Text)
		if err != nil {
			return nil, fmt.Errorf("has an entry that %w", err)
		}
		list = append(list, value)
	}
	return list, nil
}

func (f *File) fail(line int, format string, args ...any) error {
	return fmt.Errorf("%w: %s:%d: %s", ErrInvalid, f.name, line, fmt.Sprintf(format, args...))
}

// Check completes the answers and tells everything that is wrong with them, with the
// lines that it stands in. The passwords' files are read for it.
func (f *File) Check() error {
	if f.Answers == nil {
		return nil
	}
	if err := f.Answers.ReadPasswords(); err != nil {
		return fmt.Errorf("%w (%s)", err, f.name)
	}
	f.Answers.Complete()
	var all []string
	for _, e := range f.Answers.Check() {
		all = append(all, fmt.Sprintf("%s:%d: %s", f.name, f.lineOf(e.Field), e))
	}
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrInvalid, strings.Join(all, "\n"))
}

// lineOf is the line of a field, or of what it belongs to.
func (f *File) lineOf(field string) int {
	for field != "" {
		// A password may stand in a file of its own.
		if line := max(f.lines[field], f.lines[field+"_file"]); line > 0 {
			return line
		}
		field = field[:max(0, strings.LastIndexAny(field, ".["))]
	}
	return 1
}

// syntax says where a text is no YAML.
func syntax(name string, err error) error {
	if at, ok := errors.AsType[yaml.Error](err); ok {
		line := 1
		if t := at.GetToken(); t != nil && t.Position != nil {
			line = t.Position.Line
		}
		return fmt.Errorf("%w: %s:%d: this is no YAML: %s", ErrInvalid, name, line, at.GetMessage())
	}
	return fmt.Errorf("%w: %s: this is no YAML: %w", ErrInvalid, name, err)
}
