// Package config reads the two files an admin edits: server.toml for ss-server and
// licensed.toml for ss-licensed. It also renders them for the first install.
//
// The promise to the admin: a file of an older or newer release always starts the
// daemon. Unknown keys are handed back to be warned of, missing ones get defaults.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// The ports the product uses unless told otherwise.
const (
	DefaultWebPort     = 6443
	DefaultLicensePort = 2380
)

// The roles of this release's license daemon. In both it serves the server on its own
// machine and listens on a loopback address only.
const (
	RoleLocal = "local"
	// RoleClient takes its licenses from a license server elsewhere.
	RoleClient = "client"
)

// maxSize bounds what is read: a configuration is a page of text.
const maxSize = 1 << 20

// OwnCertificate is the server name under which a daemon shows the certificate that it made
// itself, whichever it serves else: ss-setup knows the daemon by that one.
const OwnCertificate = "own.ss-server.invalid"

// Server is server.toml.
type Server struct {
	Web Web `toml:"web"`
	TLS TLS `toml:"tls"`
	Log Log `toml:"log"`
}

// Web is the section [web]: where the web interface listens.
type Web struct {
	Listen string `toml:"listen"`
	// MetricsFrom are the networks that may read /metrics.
	MetricsFrom []string `toml:"metrics_from"`
}

// Licensed is licensed.toml.
type Licensed struct {
	Listen string `toml:"listen"`
	Role   string `toml:"role"`
	// Server is the license server of a client, HOST:PORT; empty in other roles.
	Server string `toml:"server"`
}

// ParseServer reads the text of server.toml. unknown names the keys that this
// release does not know.
func ParseServer(text []byte) (c Server, unknown []string, err error) {
	c.Web.Listen = listenAny(DefaultWebPort)
	c.Web.MetricsFrom = slices.Clone(loopback)
	if unknown, err = decode(text, &c); err != nil {
		return Server{}, nil, err
	}
	if _, _, err := splitListen(c.Web.Listen); err != nil {
		return Server{}, nil, fmt.Errorf("[web] listen: %w", err)
	}
	if err := c.checkOperations(); err != nil {
		return Server{}, nil, err
	}
	return c, unknown, nil
}

// ParseLicensed reads the text of licensed.toml. unknown names the keys that this
// release does not know.
func ParseLicensed(text []byte) (c Licensed, unknown []string, err error) {
	c = Licensed{Listen: listenLoopback(DefaultLicensePort), Role: RoleLocal}
	if unknown, err = decode(text, &c); err != nil {
		return Licensed{}, nil, err
	}
	if err := c.checkRole(); err != nil {
		return Licensed{}, nil, err
	}
	host, _, err := splitListen(c.Listen)
	if err != nil {
		return Licensed{}, nil, fmt.Errorf("listen: %w", err)
	}
	if !isLoopback(host) {
		return Licensed{}, nil, fmt.Errorf("listen: role %q serves this machine only, %q is not a loopback address; use %q",
			c.Role, host, listenLoopback(DefaultLicensePort))
	}
	return c, unknown, nil
}

func (c *Licensed) checkRole() error {
	switch c.Role {
	case RoleLocal:
		return nil
	case RoleClient:
	default:
		return fmt.Errorf("role: %q is not known to this release; use %q or %q", c.Role, RoleLocal, RoleClient)
	}
	if c.Server == "" {
		return fmt.Errorf("server: role %q needs the name of its license server, such as \"licenses.example.com\"", RoleClient)
	}
	server, err := LicenseServer(c.Server)
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	c.Server = server
	return nil
}

// LicenseServer reads the name of a license server, NAME[:PORT], as NAME:PORT. The
// name is one of DNS or an address; one of IPv6 stands in brackets.
func LicenseServer(text string) (string, error) {
	address := text
	if last := strings.LastIndexByte(text, ':'); last < 0 || strings.HasSuffix(text, "]") {
		address += ":" + strconv.Itoa(DefaultLicensePort)
	}
	host, port, err := splitListen(address)
	if err != nil || host == "" {
		return "", fmt.Errorf("%q is not NAME or NAME:PORT, such as \"licenses.example.com\" or \"[2001:db8::5]:%d\"", text, DefaultLicensePort)
	}
	if _, err := netip.ParseAddr(host); err != nil && !isHostName(host) {
		return "", fmt.Errorf("%q is not a name of DNS or an address; letters, digits, dots and hyphens make a name", host)
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// isHostName tells a name that DNS can have: labels of letters, digits and hyphens.
// Some networks have underscores too.
func isHostName(name string) bool {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
				return false
			}
		}
	}
	return true
}

// LoadServer reads server.toml at path. A missing file is the default configuration,
// told as found=false: a server that serves beats one that mourns its file.
func LoadServer(path string) (c Server, unknown []string, found bool, err error) {
	return load(path, ParseServer)
}

// LoadLicensed reads licensed.toml at path, as LoadServer does.
func LoadLicensed(path string) (c Licensed, unknown []string, found bool, err error) {
	return load(path, ParseLicensed)
}

// ProbeAddr is where to dial to reach the web interface on this machine.
func (c Server) ProbeAddr() string { return probeAddr(c.Web.Listen) }

// ProbeAddr is where to dial to reach the license daemon on this machine.
func (c Licensed) ProbeAddr() string { return probeAddr(c.Listen) }

func load[C any](path string, parse func([]byte) (C, []string, error)) (c C, unknown []string, found bool, err error) {
	text, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		c, _, err = parse(nil)
		return c, nil, false, err
	}
	if err != nil {
		return c, nil, false, fmt.Errorf("read configuration: %w", err)
	}
	c, unknown, err = parse(text)
	if err != nil {
		return c, nil, true, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, unknown, true, nil
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSize {
		return nil, fmt.Errorf("%s is not a text file of at most %d bytes", path, maxSize)
	}
	return os.ReadFile(path)
}

func decode(text []byte, into any) (unknown []string, err error) {
	// Editors on Windows put a byte order mark in front, which TOML does not know.
	meta, err := toml.Decode(strings.TrimPrefix(string(text), "\ufeff"), into)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "toml: "))
	}
	for _, key := range meta.Undecoded() {
		unknown = append(unknown, key.String())
	}
	return unknown, nil
}

// splitListen takes an address to listen on apart: ":6443", "10.0.0.5:6443",
// "[::1]:6443", "localhost:6443".
func splitListen(listen string) (host string, port int, err error) {
	host, digits, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not an address with a port, such as \":6443\" or \"127.0.0.1:6443\"", listen)
	}
	port, err = strconv.Atoi(digits)
	if err != nil || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("%q has no port between 1 and 65535", listen)
	}
	if strings.ContainsAny(host, " \t\r\n/\\\x00") {
		return "", 0, fmt.Errorf("%q is not a host name or address", host)
	}
	return host, port, nil
}

// probeAddr turns an address to listen on into one to dial: who listens everywhere
// is reached on the loopback.
func probeAddr(listen string) string {
	host, port, err := splitListen(listen)
	if err != nil {
		return listen
	}
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "127.0.0.1"
		if err == nil && addr.Is6() {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

func listenAny(port int) string      { return ":" + strconv.Itoa(port) }
func listenLoopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
