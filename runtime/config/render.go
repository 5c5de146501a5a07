package config

import (
	"fmt"
	"path/filepath"
)

// RenderServer is the server.toml of a first install.
func RenderServer(webPort int) []byte {
	return fmt.Appendf(nil, `# SS Server: settings of the server, read at its start.
# ss-setup wrote this file once and never changes it again. After a change:
#   %[3]s
# or, for all but listen, without a restart: ss-server reload

[web]
# Where the web interface, the REST API and the other nodes of a cluster reach this
# server. ":%[1]d" listens on every address; "127.0.0.1:%[1]d" on this machine only.
listen = %[2]q

# Who may read /metrics, besides programs on this machine:
# metrics_from = ["127.0.0.0/8", "::1/128", "10.0.0.5"]

# The certificate is self-signed unless you have one, with its chain:
# [tls]
# cert = '%[4]s'
# key = '%[5]s'
# or an authority such as Let's Encrypt gives one and renews it (port 80 must be
# reachable from there under these names):
# [tls]
# names = ["files.example.com"]
# [tls.acme]
# accept_terms = true
# email = "admin@example.com"

# [log]
# level = "info"   # debug, info, warn, error
`, webPort, listenAny(webPort), restart("ss-server"), beside("server.pem"), beside("server.key"))
}

// beside is a file in the folder of the configuration.
func beside(name string) string { return filepath.Join(filepath.Dir(ServerPath), "tls", name) }

// RenderLicensed is the licensed.toml of a first install.
func RenderLicensed(port int) []byte {
	return renderLicensed(port, RoleLocal, "")
}

// RenderLicenseClient is the licensed.toml of a first install whose licenses come
// from the license server at HOST:PORT.
func RenderLicenseClient(port int, server string) []byte {
	return renderLicensed(port, RoleClient, fmt.Sprintf("server = %q\n", server))
}

func renderLicensed(port int, role, server string) []byte {
	return fmt.Appendf(nil, `# SS Server: settings of the license daemon, read at its start.
# ss-setup wrote this file once and never changes it again. After a change:
#   %[3]s

# "local" serves the SS Server on this machine; "client" does so too, with licenses
# from the license server in server = "NAME:PORT". The address to listen on is a
# loopback address.
role = %[2]q
%[4]slisten = %[1]q
`, listenLoopback(port), role, restart("ss-licensed"), server)
}
