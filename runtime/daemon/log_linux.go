package daemon

import (
	"io"
	"log/slog"
	"log/syslog"
	"os"
)

// Logger writes JSON lines to standard error, or to the system log where the init
// system throws standard error away. Without a system log it is standard error again.
// The level may be changed at any time.
func Logger(toSyslog, _ bool, program string) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	var out io.Writer = os.Stderr
	if toSyslog {
		if w, err := systemLog(program); err == nil {
			out = w
		}
	}
	return slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level})).With("program", program), level
}

func systemLog(program string) (io.Writer, error) {
	return syslog.New(syslog.LOG_DAEMON|syslog.LOG_INFO, program)
}
