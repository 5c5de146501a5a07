package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ss-setup/installer/machine"
	"ss-setup/installer/step"
	"ss-setup/runtime/config"
	setup "ss-setup/runtime/setup/answers"
)

// codePatience is how long the server may take to make a setup code.
const codePatience = 10 * time.Second

// setupPage is where the first-run page lies.
const setupPage = "/init/setup"

// welcome adds what a person needs next. Nothing of it can make a run fail: the
// run has ended well.
func (s *session) welcome(ctx context.Context, end *ending) {
	ctx = context.WithoutCancel(ctx)
	c, _, _, err := config.LoadServer(s.m.FS.Real(filepath.Join(machine.ConfigDir, "server.toml")))
	if err != nil {
		s.warn(err.Error())
		return
	}
	host, port, err := net.SplitHostPort(c.Web.Listen)
	if err != nil {
		s.warn(err.Error())
		return
	}
	page := "/"
	s.tellSetUp(end)
	if end.Fresh {
		page = setupPage
	}
	end.URLs = urls(host, port, page)
	end.Fingerprint = s.fingerprint(ctx, c.ProbeAddr(), end.Generation)
	s.setupCode(ctx, end)
	s.licenseServer(ctx, end)
	s.firewallHint(ctx, end, s.portsForUsers(ctx, end.Generation, c.Web.Listen))
}

// urls are the addresses of a page as a browser reaches it.
func urls(host, port, page string) []string {
	url := func(host string) string { return "https://" + net.JoinHostPort(host, port) + page }
	addr, err := netip.ParseAddr(host)
	switch {
	case host == "", err == nil && addr.IsUnspecified():
	default:
		return []string{url(host)}
	}
	all := []string{url("127.0.0.1")}
	addresses, err := machine.Addresses()
	if err != nil {
		return all
	}
	for _, a := range addresses {
		all = append(all, url(a.String()))
	}
	return all
}

// showPatience is how long the server may take to show its certificate.
const showPatience = 5 * time.Second

// fingerprint is the SHA-256 of the certificate that users see, as browsers show it: the
// server's own, or the one that an administrator or an authority has given it.
func (s *session) fingerprint(ctx context.Context, address string, generation int) string {
	const limit = 1 << 20
	content, err := s.m.FS.ReadSmall(filepath.Join(machine.ServerData(generation), "tls", "cert.pem"), limit)
	if err != nil {
		return ""
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return ""
	}
	raw := block.Bytes
	ctx, cancel := context.WithTimeout(ctx, showPatience)
	defer cancel()
	// Whoever shows the server's own certificate is the server.
	if bytes.Equal(shown(ctx, address, config.OwnCertificate), raw) {
		if public := shown(ctx, address, ""); public != nil {
			raw = public
		}
	}
	sum := sha256.Sum256(raw)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(pairs, ":")
}

// shown is the certificate that a server shows to who asks for a name; nil if it shows none.
func shown(ctx context.Context, address, name string) []byte {
	// It is looked at, not trusted.
	d := tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, ServerName: name}}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil
	}
	defer c.Close()
	if secure, ok := c.(*tls.Conn); ok {
		return secure.ConnectionState().PeerCertificates[0].Raw
	}
	return nil
}

// tellSetUp tells what the first set-up has made, and who has the port that the site did
// not get.
func (s *session) tellSetUp(end *ending) {
	if end.SetUp = s.setUp; s.setUp == nil {
		return
	}
	end.Fresh = false
	switch {
	case s.setUp.Already:
		s.warn("the server was set up before; what the answers say of it was not looked at")
	case s.setUp.OtherPort:
		owner := "another program"
		if listeners, err := machine.Listeners(); err == nil {
			if by, taken := machine.OnPort(listeners, setup.DefaultPort); taken {
				owner = by.Owner()
			}
		}
		s.warn(fmt.Sprintf("port %d is taken by %s, so SFTP is on port %d", setup.DefaultPort, owner, s.setUp.Port))
	}
	if s.setUp.Site != "" && !s.setUp.Serving {
		s.warn(fmt.Sprintf("nothing answers on port %d yet; the log of ss-server tells why", s.setUp.Port))
	}
}

// setupCode has the server make a code for a first install, whose store is empty.
// It is a secret of five minutes: shown, never logged.
func (s *session) setupCode(ctx context.Context, end *ending) {
	if end.SetUp != nil || s.m.Import != nil {
		return // nobody needs one any more
	}
	server := machine.Program(step.ReleaseOf(s.m.FS, end.Generation), machine.ServerService)
	if link := currentProgram(machine.ServerService); link != "" {
		server = link
	}
	end.NewCode = shellProgram(server) + " genssc"
	if _, err := exec.LookPath(machine.ServerService); err == nil {
		end.NewCode = machine.ServerService + " genssc"
	}
	if !end.Fresh || s.options.Offline || s.options.ManagedBy != "" {
		return // nobody to use it up in five minutes, and package managers keep logs
	}
	ctx, cancel := context.WithTimeout(ctx, codePatience)
	defer cancel()
	out, err := exec.CommandContext(ctx, s.m.FS.Real(server), "genssc", "--json").Output()
	var code struct {
		Code    string    `json:"code"`
		Expires time.Time `json:"expires"`
	}
	if err == nil {
		err = json.Unmarshal(out, &code)
	}
	if err != nil {
		s.warn(fmt.Sprintf("no setup code could be made: %v; make one with: %s", err, end.NewCode))
		return
	}
	end.SetupCode, end.CodeExpires = code.Code, &code.Expires
}

// portsForUsers are those at which others than this machine are to reach the server: its web
// interface, and the sites that this run has imported.
func (s *session) portsForUsers(ctx context.Context, generation int, web string) (ports []int) {
	addresses := []string{web}
	if s.m.Import != nil {
		ctx, cancel := context.WithTimeout(ctx, showPatience)
		defer cancel()
		h, err := s.m.Prober.Probe(ctx, machine.ServerService, generation)
		if err != nil {
			s.log.Warn("cannot ask the server where it serves users", "error", err)
		}
		for _, b := range h.Bindings {
			addresses = append(addresses, b.Address)
		}
	}
	for _, address := range addresses {
		host, text, err := net.SplitHostPort(address)
		port, bad := strconv.Atoi(text)
		if addr, none := netip.ParseAddr(host); err != nil || bad != nil || none == nil && addr.IsLoopback() || slices.Contains(ports, port) {
			continue
		}
		ports = append(ports, port)
	}
	return ports
}

// firewallHint tells how ports are opened where a firewall keeps users out.
func (s *session) firewallHint(ctx context.Context, end *ending, ports []int) {
	if len(ports) == 0 {
		return
	}
	wall, err := machine.FindFirewall(ctx, s.m.FS)
	if err != nil {
		s.log.Warn("cannot look for a firewall", "error", err)
		return
	}
	if wall.Kind == "" {
		return
	}
	open, err := wall.Opened(ctx, ports)
	if err != nil {
		s.log.Warn("cannot ask the firewall", "error", err)
	}
	closed := slices.DeleteFunc(ports, func(p int) bool { return slices.Contains(open, p) })
	if len(closed) > 0 {
		end.Firewall, end.OpenWith = wall.Kind, wall.OpenCommands(closed)
	}
}

// user is who to thank for a run in the log.
func user() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	return os.Getenv("USER")
}
