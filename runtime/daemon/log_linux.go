package daemon

import (
	"io"
	"log/syslog"
)

func systemLog(program string) (io.Writer, error) {
	return syslog.New(syslog.LOG_DAEMON|syslog.LOG_INFO, program)
}
