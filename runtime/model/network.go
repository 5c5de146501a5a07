package model

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Network reads an address or a network: "192.0.2.7", "192.0.2.0/24", "2001:db8::/32".
// Bits beyond the mask are cleared, an IPv4 address in IPv6 clothes is undressed.
func Network(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return netip.Prefix{}, err
		}
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// Within tells whether addr lies in one of networks. Networks that do not parse are
// none.
func Within(addr netip.Addr, networks []string) bool {
	addr = addr.Unmap().WithZone("")
	for _, text := range networks {
		if p, err := Network(text); err == nil && p.Contains(addr) {
			return true
		}
	}
	return false
}

// canonicalNetwork is the one way to write a network; what is none stays as it is, for
// Validate to name.
func canonicalNetwork(text string) string {
	p, err := Network(strings.TrimSpace(text))
	if err != nil {
		return text
	}
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

func canonicalNetworks(list []string) {
	for i := range list {
		list[i] = canonicalNetwork(list[i])
	}
}

func (c *check) network(field, text string) {
	if _, err := Network(text); err != nil {
		c.add(field, quoted(text)+" is not an address or network", "write it as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32")
	}
}

func (c *check) networks(field string, list []string) {
	for i, text := range list {
		c.network(at(field, i), text)
	}
}

// hostPort checks NAME:PORT.
func (c *check) hostPort(field, text string) {
	host, digits, err := net.SplitHostPort(text)
	port, bad := strconv.Atoi(digits)
	ok := err == nil && bad == nil && port >= 1 && port <= 65535 && isHost(host)
	c.that(ok, field, quoted(text)+" is not a host with a port", "write it as sftp.example.com:6443 or [2001:db8::5]:6443")
}

func (c *check) host(field, text string) {
	c.that(isHost(text), field, quoted(text)+" is not a host", "use a name of DNS or an address")
}

func isHost(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	return isHostName(text)
}

// isHostName tells a name that DNS can have, one label of underscores allowed, as some
// networks have them.
func isHostName(text string) bool {
	text = strings.TrimSuffix(text, ".")
	if text == "" || len(text) > 253 {
		return false
	}
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, b := range []byte(label) {
			if b != '-' && b != '_' && (b < '0' || b > '9') && (b|0x20 < 'a' || b|0x20 > 'z') {
				return false
			}
		}
	}
	return true
}

func (c *check) email(field, text string) {
	local, host, ok := strings.Cut(text, "@")
	ok = ok && local != "" && len(text) <= 254 && isHostName(host) && isText(text, "") && !strings.ContainsAny(text, " \t,;<>()\"\\")
	c.that(ok, field, quoted(text)+" is not an e-mail address", "write it as anna@example.com")
}

func (c *check) optionalEmail(field, text string) {
	if text != "" {
		c.email(field, text)
	}
}

// link checks an address of the web or of a directory.
func (c *check) link(field, text string, schemes ...string) {
	u, err := url.Parse(text)
	ok := err == nil && u.Host != "" && isHost(u.Hostname()) && u.User == nil
	if ok && u.Port() != "" {
		port, err := strconv.Atoi(u.Port())
		ok = err == nil && port >= 1 && port <= 65535
	}
	if ok {
		for _, scheme := range schemes {
			if u.Scheme == scheme {
				return
			}
		}
	}
	c.add(field, quoted(text)+" is not an address", "begin it with "+strings.Join(schemes, ":// or ")+"://, then host and port")
}

// isText tells text that can be shown: UTF-8 without control characters but those
// allowed.
func isText(text, allowed string) bool {
	if !utf8.ValidString(text) {
		return false
	}
	for _, r := range text {
		if unicode.IsControl(r) && !strings.ContainsRune(allowed, r) {
			return false
		}
	}
	return true
}

// quoted is a value in a message, cut so that a message stays one.
func quoted(text string) string {
	if len(text) > 80 {
		text = text[:77] + "..."
	}
	return strconv.Quote(text)
}
