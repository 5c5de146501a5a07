// Package openssh imports who may use SFTP on a machine with OpenSSH: the users whom
// sshd_config confines to SFTP, with their keys, passwords and folders, and the machine's
// host keys.
//
// It reads the files of /etc and the homes where they lie, below the root of the machine or
// of a copy of them. What narrows a user, a key or a way in never becomes wider: a line that
// cannot be said here leaves its key out or its user disabled, and is told.
package openssh

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/convert"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
)

// Product is the name of the product.
const Product = "OpenSSH"

// Site is the name of the one site that a machine becomes.
const Site = "default"

const configPath = "/etc/ssh/sshd_config"

// Source is an opened machine, or a copy of its files.
type Source struct {
	file *archive.File
	// prefix is where the root of the machine lies in the archive; flat tells that the
	// files of /etc lie there themselves.
	prefix string
	flat   bool
	config *archive.Entry
}

// Open recognises the files by sshd_config. archive.ErrNotBackup says that it is not
// there.
func Open(_ context.Context, f *archive.File) (*Source, error) {
	s := &Source{file: f}
	if !f.IsFolder() && !f.Zip {
		return s.openText()
	}
	name := strings.TrimPrefix(configPath, "/")
	for _, e := range f.Entries {
		if at := strings.TrimSuffix(e.Name, name); at != e.Name && (at == "" || strings.HasSuffix(at, "/")) {
			s.prefix = at
		}
	}
	if s.config = f.Lookup(s.prefix + name); s.config != nil {
		return s, nil
	}
	if s.config = f.Lookup("sshd_config"); s.config != nil {
		s.flat = true
		return s, nil
	}
	return nil, errNone()
}

func errNone() error {
	return fmt.Errorf("%w: it has no sshd_config, neither in etc/ssh nor by itself", archive.ErrNotBackup)
}

// openText takes a file that is an sshd_config, by what it says.
func (s *Source) openText() (*Source, error) {
	if !s.file.Text || len(s.file.Entries) != 1 {
		return nil, errNone()
	}
	e := s.file.Entries[0]
	const looked = 4096
	intro, err := e.Intro(looked)
	if err != nil {
		return nil, err
	}
	text := string(intro)
	if len(text) == looked {
		text = text[:strings.LastIndexByte(text, '\n')+1]
	}
	known, others := 0, 0
	for line := range strings.Lines(text) {
		words, err := split(line)
		if err != nil || len(words) == 0 {
			continue
		}
		if _, ok := keywords[strings.ToLower(words[0])]; ok && len(words) > 1 {
			known++
		} else {
			others++
		}
	}
	// New releases may have words that are not known here.
	if known <= 4*others {
		return nil, errNone()
	}
	s.flat, s.config = true, e
	return s, nil
}

// About implements importer.Source.
func (s *Source) About() report.Source {
	return report.Source{Product: Product, Container: "openssh", File: s.file.Name}
}

// Close implements importer.Source.
func (s *Source) Close() error { return s.file.Close() }

// lookup is a file of the machine; nil if it is not there.
func (s *Source) lookup(name string) *archive.Entry {
	name = path.Clean("/" + name)
	if e := s.file.Lookup(s.prefix + name[1:]); e != nil || !s.flat {
		return e
	}
	for _, dir := range []string{"/etc/ssh/", "/etc/"} {
		if rest, ok := strings.CutPrefix(name, dir); ok {
			if e := s.file.Lookup(s.prefix + rest); e != nil {
				return e
			}
		}
	}
	return nil
}

// names are the files in a folder of the machine.
func (s *Source) names(dir string) []string {
	dir = path.Clean("/" + dir)
	if list := s.file.Names(strings.TrimSuffix(s.prefix+dir[1:], "/")); len(list) > 0 || !s.flat {
		return list
	}
	if rest, ok := strings.CutPrefix(dir, "/etc/ssh/"); ok {
		return s.file.Names(s.prefix + rest)
	}
	return nil
}

// maxFile bounds a file that is read whole.
const maxFile = 16 << 20

func (s *Source) read(name string) (text string, ok bool, err error) {
	e := s.lookup(name)
	if e == nil {
		return "", false, nil
	}
	raw, err := e.ReadAll(maxFile)
	return strings.ToValidUTF8(string(raw), "\ufffd"), true, err
}

// run is one import.
type run struct {
	ctx      context.Context
	s        *Source
	c        *convert.Conversion
	r        *report.Report
	site     *convert.Site
	accounts *convert.Accounts
	config   *config
	opt      importer.Options
	people   *people
	// chrooted tells that somebody is confined to a folder.
	chrooted bool
}

// Import implements importer.Source.
func (s *Source) Import(ctx context.Context, o importer.Options, to importer.Taker, r *report.Report) error {
	c, err := convert.New(Product, o, to, r)
	if err != nil {
		return err
	}
	i := &run{ctx: ctx, s: s, c: c, r: r, opt: o}
	if i.config, err = s.parse(ctx); err != nil {
		return err
	}
	if i.people, err = s.people(); err != nil {
		return err
	}
	if err := c.Nodes(nil); err != nil {
		return err
	}
	for _, step := range []func() error{i.begin, i.hostKeys, i.bindings, i.users} {
		if err := step(); err != nil {
			return err
		}
	}
	i.rest()
	c.Finish()
	return r.Balanced()
}

// begin makes the site with what sshd_config says for everybody.
func (i *run) begin() (err error) {
	old := convert.OldSite{
		ID: Site, Title: Product,
		KeyExchanges: i.list("kexalgorithms"), Ciphers: i.list("ciphers"), MACs: i.list("macs"),
	}
	if name := i.config.global("banner"); name != "" && !strings.EqualFold(name, "none") {
		text, ok, err := i.s.read(name)
		if err != nil {
			return err
		}
		if old.Banner = text; !ok {
			i.r.LeftOut("sshd_config.Banner", "its file is not there")
		}
	}
	i.site, err = i.c.BeginSite(old)
	return err
}

// list is one of algorithms, if it stands for itself: changes to lists of OpenSSH's own are
// none here.
func (i *run) list(keyword string) []string {
	text := i.config.global(keyword)
	if text == "" {
		return nil
	}
	if strings.ContainsAny(text[:1], "+-^") {
		i.r.LeftOut("sshd_config."+keywords[keyword].name, "it changes a list of OpenSSH's own; the usual one is in force here")
		return nil
	}
	return strings.Split(text, ",")
}

// usualHostKeys are read where sshd_config names none.
var usualHostKeys = []string{"/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_ecdsa_key", "/etc/ssh/ssh_host_rsa_key"}

// maxHostKey bounds the file of a host key.
const maxHostKey = 64 << 10

func (i *run) hostKeys() error {
	names, said := i.config.all("hostkey"), true
	if len(names) == 0 {
		names, said = usualHostKeys, false
	}
	var list []convert.HostKey
	for _, name := range names {
		e := i.s.lookup(name)
		if e == nil && said {
			i.c.Drop(report.HostKey, Site, path.Base(name), report.HostKeys, "its file is not there", "import again with it, or tell users the new fingerprints")
		}
		if e == nil {
			continue
		}
		text, err := e.ReadAll(maxHostKey)
		if err != nil {
			return err
		}
		list = append(list, convert.HostKey{ID: name, Name: path.Base(name), Text: string(text)})
	}
	return i.site.HostKeys(list)
}

// sshPort is the port of SSH; sftpPort is where SFTP is served beside it.
const sshPort = 22

// bindings: where sshd listens. As that server mostly goes on, for those who administer the
// machine, its ports are taken over only where this one listens nowhere yet.
func (i *run) bindings() error {
	taken := len(i.opt.Bindings) > 0
	for _, l := range i.config.listen() {
		shown := fmt.Sprintf(`{"address":%q,"port":%d}`, l.address, l.port)
		var err error
		if taken {
			err = i.site.Keep(report.Binding, "binding", fmt.Sprintf("sshd-%d", l.port), shown, report.Bindings, fmt.Sprintf("sshd itself listens at port %d", l.port), "change the binding of the site when sshd is gone from there")
		} else {
			err = i.site.Binding(convert.Binding{Service: "sshd", SFTP: true, Address: l.address, Port: int64(l.port), Raw: shown})
		}
		if err != nil {
			return err
		}
	}
	if !taken {
		return nil
	}
	return i.site.Listen(sshPort)
}

// rest tells what of sshd_config is not taken over, each keyword once.
func (i *run) rest() {
	var unread []string
	for _, d := range i.config.directives {
		k, known := keywords[d.keyword]
		switch {
		case !known && len(d.keyword) <= 64:
			i.r.Unknown("sshd_config." + strings.ToValidUTF8(d.keyword, "?"))
		case k.why != "":
			i.r.LeftOut("sshd_config."+k.name, k.why)
		}
	}
	for _, name := range i.config.missing {
		unread = append(unread, fmt.Sprintf("%.80q", name))
	}
	if len(unread) > 0 {
		i.r.Warn(report.NotUnderstood, "sshd_config includes files that are not there: "+strings.Join(unread, ", "), "import again with them: they may keep users out")
	}
	if i.chrooted {
		i.r.Warn(report.Rights, "the owners and modes of files decided who could write where; here the permissions of the users do, and the server's own account needs the right to all of it", "look at the permissions, above all of folders that users could only read")
	}
}

// listening is an address and port of sshd.
type listening struct {
	address string
	port    int
}

// listen is where sshd listens: each address at each port.
func (c *config) listen() (out []listening) {
	var ports []int
	for _, text := range c.all("port") {
		if n, err := strconv.Atoi(text); err == nil && n > 0 && n < 1<<16 {
			ports = append(ports, n)
		}
	}
	if len(ports) == 0 {
		ports = []int{sshPort}
	}
	addresses := c.all("listenaddress")
	if len(addresses) == 0 {
		addresses = []string{""}
	}
	for _, text := range addresses {
		address, port := hostPort(text)
		list := ports
		if port != 0 {
			list = []int{port}
		}
		for _, n := range list {
			if l := (listening{address, n}); !slices.Contains(out, l) {
				out = append(out, l)
			}
		}
	}
	return out
}

// hostPort takes apart host, host:port, [host]:port and an address of IPv6.
func hostPort(text string) (host string, port int) {
	if rest, ok := strings.CutPrefix(text, "["); ok {
		host, tail, _ := strings.Cut(rest, "]")
		n, err := strconv.Atoi(strings.TrimPrefix(tail, ":"))
		if err != nil {
			n = 0
		}
		return host, n
	}
	if strings.Count(text, ":") != 1 {
		return text, 0
	}
	host, tail, _ := strings.Cut(text, ":")
	n, err := strconv.Atoi(tail)
	if err != nil {
		return text, 0
	}
	return host, n
}
