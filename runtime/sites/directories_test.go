package sites_test

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"golang.org/x/crypto/ssh"

	"ss-setup/runtime/model"
)

// fakeDirectory is a directory with one person, kim, whose password is password. It says
// no more of LDAP than a log-in needs; scripts/lab/directory has a real one.
type fakeDirectory struct {
	net.Listener
	mu     sync.Mutex
	groups []string
}

const personDN = "uid=lee,dc=example,dc=com"

func newDirectory(t *testing.T, groups ...string) *fakeDirectory {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	d := &fakeDirectory{Listener: l, groups: groups}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go d.serve(c)
		}
	}()
	return d
}

func (d *fakeDirectory) set(groups ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.groups = groups
}

func (d *fakeDirectory) serve(c net.Conn) {
	defer c.Close()
	for {
		request, err := ber.ReadPacket(c)
		if err != nil || len(request.Children) < 2 {
			return
		}
		id, op := request.Children[0].Value.(int64), request.Children[1]
		var answers []*ber.Packet
		switch op.Tag {
		case ldap.ApplicationBindRequest:
			answers = []*ber.Packet{result(ldap.ApplicationBindResponse, d.bind(op))}
		case ldap.ApplicationSearchRequest:
			if filter, err := ldap.DecompileFilter(op.Children[6]); err == nil && strings.Contains(filter, "=lee)") || err == nil && strings.Contains(filter, "=lee@example.com)") {
				answers = append(answers, d.entry())
			}
			answers = append(answers, result(ldap.ApplicationSearchResultDone, ldap.LDAPResultSuccess))
		default:
			return
		}
		for _, answer := range answers {
			message := ber.NewSequence("")
			message.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
			message.AppendChild(answer)
			if _, err := c.Write(message.Bytes()); err != nil {
				return
			}
		}
	}
}

func (d *fakeDirectory) bind(op *ber.Packet) int64 {
	name, _ := op.Children[1].Value.(string)
	if name == personDN && op.Children[2].Data.String() != password {
		return ldap.LDAPResultInvalidCredentials
	}
	return ldap.LDAPResultSuccess
}

func (d *fakeDirectory) entry() *ber.Packet {
	d.mu.Lock()
	defer d.mu.Unlock()
	attributes := ber.NewSequence("")
	for name, list := range map[string][]string{"memberOf": d.groups, "uid": {"lee"}, "mail": {"lee@example.com"}} {
		values := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		for _, v := range list {
			values.AppendChild(text(v))
		}
		attribute := ber.NewSequence("")
		attribute.AppendChild(text(name))
		attribute.AppendChild(values)
		attributes.AppendChild(attribute)
	}
	entry := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	entry.AppendChild(text(personDN))
	entry.AppendChild(attributes)
	return entry
}

func result(tag ber.Tag, code int64) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, code, ""))
	p.AppendChild(text(""))
	p.AppendChild(text(""))
	return p
}

func text(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

const (
	staffDN  = "cn=staff,dc=example,dc=com"
	guestsDN = "cn=guests,dc=example,dc=com"
)

// withDirectory is a world whose site makes users of a directory, as members of staff and
// guests. Staff has another home than guests.
func withDirectory(t *testing.T, groups ...string) (*world, *fakeDirectory) {
	t.Helper()
	w, d := newWorld(t), newDirectory(t, groups...)
	for _, name := range []string{"staff", "guests", "byhand"} {
		g := &model.Group{Site: "main"}
		g.Name = name
		if name != "byhand" {
			g.Home = model.Folder{VFS: "files", Path: "/" + name, Permissions: model.UsualPermissions()}
		}
		w.write(t, g)
	}
	l := &model.LDAPProfile{
		Site: "main", URLs: []string{"ldap://" + d.Addr().String()}, BaseDN: "dc=example,dc=com", Filter: "(uid={user})", Autocreate: true,
		Groups: []model.LDAPGroup{{DN: strings.ToUpper(staffDN), Group: "staff"}, {DN: guestsDN, Group: "guests"}},
	}
	l.Name = "Office"
	w.write(t, l)
	return w, d
}

func lee(c *ssh.ClientConfig) { c.User = "lee" }

func TestAUserOfTheDirectoryHasTheGroupsThatItGivesAtEachLogIn(t *testing.T) {
	w, d := withDirectory(t, guestsDN, "cn=others,dc=example,dc=com")
	first := w.sftp(t, lee)
	put(t, first, "note", "of a guest")
	if got := w.userOf(t, "lee").Groups; !slices.Equal(got, []string{"guests"}) {
		t.Fatalf("made as a member of %q", got)
	}
	if u := w.userOf(t, "lee"); !u.LDAPGroups || u.LDAP != "Office" || u.By != "ldap/Office" {
		t.Errorf("%+v", u)
	}
	w.changeUser(t, "lee", func(u *model.User) { u.Groups = append(u.Groups, "byhand") })
	d.set(guestsDN, staffDN)
	second := w.sftp(t, lee)
	if got := w.userOf(t, "lee").Groups; !slices.Equal(got, []string{"byhand", "staff", "guests"}) {
		t.Errorf("then a member of %q", got)
	}
	put(t, second, "note", "of staff")
	if _, err := os.Stat(filepath.Join(w.dir, "files", "staff", "note")); err != nil {
		t.Errorf("the home is not that of the first group: %v", err)
	}
	seq := w.engine.Seq()
	w.sftp(t, lee)
	if got := w.engine.Seq(); got != seq {
		t.Errorf("a log-in that changes nothing was written: %d, %d", seq, got)
	}
}

func TestWhoIsInNoMappedGroupAnyMoreIsOut(t *testing.T) {
	w, d := withDirectory(t, guestsDN)
	c := w.sftp(t, lee)
	d.set("cn=others,dc=example,dc=com")
	if _, err := w.dial(t, lee); err == nil {
		t.Error("let in")
	}
	if got := w.userOf(t, "lee").Groups; len(got) != 0 {
		t.Errorf("still a member of %q", got)
	}
	eventually(t, "the session that ran ends with its home", func() bool { return !alive(c) })
	d.set(staffDN)
	w.sftp(t, lee)
}

func TestGroupsThatAnAdministratorGaveStayAsTheyAre(t *testing.T) {
	w, _ := withDirectory(t, guestsDN)
	u := &model.User{Site: "main", LDAP: "Office", Groups: []string{"staff"}}
	u.Name = "lee"
	w.write(t, u)
	w.sftp(t, lee)
	if got := w.userOf(t, "lee").Groups; !slices.Equal(got, []string{"staff"}) {
		t.Errorf("a member of %q", got)
	}
}

// TestAPersonOfTheDirectoryHasOneAccount: with another of his names he would come around
// what an administrator has set for it.
func TestAPersonOfTheDirectoryHasOneAccount(t *testing.T) {
	for _, c := range []struct{ filter, first, second string }{
		{"(|(uid={user})(mail={user}))", "lee", "lee@example.com"},
		{"(|(mail={user})(uid={user}))", "lee@example.com", "lee"},
		{"(mail={user})", "lee@example.com", "lee"}, // with the profile's domain
		{"(mail={user})", "lee", "lee@example.com"},
	} {
		w, d := withDirectory(t, guestsDN)
		l := &model.LDAPProfile{
			Head: model.Head{Name: "Office"}, Site: "main", URLs: []string{"ldap://" + d.Addr().String()}, BaseDN: "dc=example,dc=com", Filter: c.filter,
			Autocreate: true, Groups: []model.LDAPGroup{{DN: guestsDN, Group: "guests"}},
		}
		if !strings.Contains(c.filter, "uid") {
			l.Domains = []string{"example.com"}
		}
		w.write(t, l)
		w.sftp(t, func(s *ssh.ClientConfig) { s.User = c.first })
		w.changeUser(t, c.first, func(u *model.User) { u.Disabled = true })
		if _, err := w.dial(t, func(s *ssh.ClientConfig) { s.User = c.second }); err == nil {
			t.Errorf("%s: %s is in as %s", c.filter, c.first, c.second)
		}
	}
}

func TestOfTwoDirectoriesTheFirstByNameMakesTheUser(t *testing.T) {
	w, d := withDirectory(t, guestsDN)
	w.write(t, &model.LDAPProfile{
		Head: model.Head{Name: "Branch"}, Site: "main", URLs: []string{"ldap://" + d.Addr().String()}, BaseDN: "dc=example,dc=com", Filter: "(uid={user})",
		Autocreate: true, Groups: []model.LDAPGroup{{DN: guestsDN, Group: "guests"}},
	})
	for range 8 {
		w.sftp(t, lee)
		if got := w.userOf(t, "lee").LDAP; got != "Branch" {
			t.Fatalf("made by %s", got)
		}
		w.delete(t, model.UserKey("main", "lee"))
	}
}
