package config

// Where the two files lie unless a flag says otherwise.
const (
	ServerPath   = "/etc/ss-server/server.toml"
	LicensedPath = "/etc/ss-server/licensed.toml"
)

func restart(service string) string {
	return "systemctl restart " + service + "    (or: service " + service + " restart)"
}
