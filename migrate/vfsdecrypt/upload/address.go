package upload

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
	"unicode"
)

// ErrAddress marks an address that says nothing or too much.
var ErrAddress = errors.New("wrong address")

// Address is where files are sent.
type Address struct {
	User string
	Host string // a name or an IP address, without brackets
	Port int
	Path string // of the folder, absolute
}

// ParseAddress reads sftp://USER@HOST[:PORT]/PATH. It refuses with ErrAddress.
func ParseAddress(text string) (Address, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Address{}, fmt.Errorf("%w: %w", ErrAddress, errors.Unwrap(err))
	}
	if _, has := u.User.Password(); has {
		return Address{}, fmt.Errorf("%w: a password in it can be seen by everybody on this machine; give it in a file, by --password-file", ErrAddress)
	}
	a := Address{User: u.User.Username(), Host: u.Hostname(), Port: 22, Path: path.Clean("/" + u.Path)}
	if port := u.Port(); port != "" {
		a.Port, err = strconv.Atoi(port)
	}
	if err != nil || u.Scheme != "sftp" || u.RawQuery != "" || u.Fragment != "" || a.User == "" || !goodHost(a.Host) || a.Port < 1 || a.Port > 65535 {
		return Address{}, fmt.Errorf("%w: it must be sftp://USER@HOST:PORT/FOLDER", ErrAddress)
	}
	return a, nil
}

// goodHost takes names as they are, and of addresses with a colon only what is one.
func goodHost(host string) bool {
	if !strings.Contains(host, ":") {
		return host != ""
	}
	ip, err := netip.ParseAddr(host)
	notPlain := func(r rune) bool {
		return r >= 0x80 || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-", r)
	}
	return err == nil && !strings.ContainsFunc(ip.Zone(), notPlain)
}

// HostPort is what is dialled.
func (a Address) HostPort() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

// String is the address as ParseAddress reads it.
func (a Address) String() string {
	u := url.URL{Scheme: "sftp", User: url.User(a.User), Host: a.HostPort(), Path: a.Path}
	return u.String()
}
