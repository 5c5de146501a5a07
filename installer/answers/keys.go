package answers

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ss-setup/runtime/config"
	setup "ss-setup/runtime/setup/answers"
)

// Key is one key of an answers file.
type Key struct {
	Name string
	// Allowed says what its values are, for people.
	Allowed string
	// Standard is what holds without the key, for people.
	Standard string
	// Text explains it.
	Text string

	// secret: it is never written.
	secret bool
	kind   setup.Kind
	check  func(value string) error
}

// Flag is the flag of ss-setup install that the key is the twin of.
func (k Key) Flag() string { return strings.ReplaceAll(k.Name, "_", "-") }

// Keys are all keys of an answers file, in the order in which they are written.
var Keys = []Key{
	{Name: "from", Allowed: "a folder, a file of the package in it, its archive, or the address of a repository", Standard: "the package beside ss-setup", Text: "The package to install."},
	{Name: "version", Allowed: "a version, such as 7.0.1", Standard: "the newest of the channel", Text: "The version to install."},
	{Name: "channel", Allowed: "stable or beta", Standard: "stable", Text: "The channel that releases come from.", check: oneOf("stable", "beta")},
	{Name: "mirror", Allowed: "the address of a repository", Standard: "none", Text: "Another repository, asked when the one before fails."},
	{Name: "proxy", Allowed: "an address, http://HOST:PORT (or https, socks5), or none", Standard: "as the environment says", Text: "The proxy that the repository is reached through."},
	{Name: "ca_file", Allowed: "a file", Standard: "none", Text: "Certificates that are trusted for the connection, beside the system's."},
	{Name: "web_port", Allowed: "a number from 1 to 65535", Standard: strconv.Itoa(config.DefaultWebPort), Text: "Port of the web interface and the REST API.", kind: setup.Number, check: port},
	{Name: "license_port", Allowed: "a number from 1 to 65535", Standard: strconv.Itoa(config.DefaultLicensePort), Text: "Port of the license daemon.", kind: setup.Number, check: port},
	{Name: "license_mode", Allowed: "local or client", Standard: "local", Text: "Where licenses come from: this machine, or the license server.", check: licenseMode},
	{Name: "license_server", Allowed: "NAME or NAME:PORT", Standard: "none", Text: "The license server; goes with license_mode: client.", check: licenseServer},
	{Name: "service_user", Allowed: "the name of an account", Standard: "ss-server, which is made", Text: "Account that the server runs as."},
	{Name: "open_firewall", Allowed: "true or false", Standard: "false", Text: "Open the ports in the firewall of this machine.", kind: setup.Boolean},
	{Name: "import", Allowed: "a file", Standard: "none; of a version 6 on this machine its own configuration", Text: "The backup of version 4, 5, 6 or 7 that a new server is filled with."},
	{Name: "import_password_file", Allowed: "a file", Standard: "none", Text: "Passwords of PFX certificates and encrypted keys in the backup, one a line."},
	{Name: "accept_drops", Allowed: "true or false", Standard: "false", Text: "Go on when somebody cannot log in after an import, something does not serve, or is not understood.", kind: setup.Boolean},
	{Name: "v6_url", Allowed: "an address, such as https://127.0.0.1:6443", Standard: "where it answers", Text: "Where the version 6 on this machine is asked for its backup."},
	{Name: "v6_superadmin", Allowed: "a name", Standard: "sa", Text: "The SuperAdmin of version 6 that asks for it."},
	{Name: "v6_password", Allowed: "a password", Standard: "none", Text: "The password of that SuperAdmin.", secret: true},
	{Name: "v6_password_file", Allowed: "a file", Standard: "none", Text: "A file whose first line is that password."},
	{Name: "health_timeout", Allowed: "a time, such as 30s or 2m", Standard: "30s", Text: "How long a service may take to answer.", check: duration},
	{Name: "log", Allowed: "a file", Standard: "a new one in the log folder of ss-setup", Text: "Where the log of the run goes."},
}

// Later are keys that the design knows and this version does not have the part
// for.
var Later = []string{
	"cluster", "license_code",
}

// names lists the keys that a file may have now.
func names() string {
	var list []string
	for _, k := range Keys {
		list = append(list, k.Name)
	}
	for _, k := range setup.Keys {
		top, _, _ := strings.Cut(k.Name, ".")
		if !slices.Contains(list, top) {
			list = append(list, top)
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// Secret tells a key whose value is never written down.
func (k Key) Secret() bool { return k.secret }

func keyNamed(name string) (Key, bool) {
	i := slices.IndexFunc(Keys, func(k Key) bool { return k.Name == name })
	if i < 0 {
		return Key{}, false
	}
	return Keys[i], true
}

func port(value string) error {
	if n, err := strconv.Atoi(value); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("is %s", value)
	}
	return nil
}

func duration(value string) error {
	if d, err := time.ParseDuration(value); err != nil || d <= 0 {
		return fmt.Errorf("is %q", value)
	}
	return nil
}

func oneOf(allowed ...string) func(string) error {
	return func(value string) error {
		if !slices.Contains(allowed, value) {
			return fmt.Errorf("is %q", value)
		}
		return nil
	}
}

func licenseMode(value string) error {
	if value == "server" {
		return fmt.Errorf("is %q, which is not in this version", value)
	}
	return oneOf(config.RoleLocal, config.RoleClient)(value)
}

func licenseServer(value string) error {
	if _, err := config.LicenseServer(value); err != nil {
		return fmt.Errorf("is %q", value)
	}
	return nil
}
