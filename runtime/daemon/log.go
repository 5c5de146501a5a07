package daemon

import (
	"io"
	"log/slog"
	"os"
)

// Logger writes JSON lines to standard error, or to the system log where the init
// system throws standard error away. Without a system log it is standard error again.
func Logger(toSyslog bool, program string) *slog.Logger {
	var out io.Writer = os.Stderr
	if toSyslog {
		if w, err := systemLog(program); err == nil {
			out = w
		}
	}
	return slog.New(slog.NewJSONHandler(out, nil)).With("program", program)
}

// WarnOfConfig tells what is odd about a configuration without being wrong.
func WarnOfConfig(log *slog.Logger, path string, found bool, unknown []string) {
	if !found {
		log.Warn("no configuration file; every setting has its default", "path", path)
	}
	for _, key := range unknown {
		log.Warn("this release does not know a setting and ignores it", "path", path, "setting", key)
	}
}
