package daemon

import "log/slog"

// WarnOfConfig tells what is odd about a configuration without being wrong.
func WarnOfConfig(log *slog.Logger, path string, found bool, unknown []string) {
	if !found {
		log.Warn("no configuration file; every setting has its default", "path", path)
	}
	for _, key := range unknown {
		log.Warn("this release does not know a setting and ignores it", "path", path, "setting", key)
	}
}
