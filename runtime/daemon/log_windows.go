package daemon

import (
	"io"

	"golang.org/x/sys/windows/svc/eventlog"
)

func systemLog(program string) (io.Writer, error) {
	log, err := eventlog.Open(program)
	if err != nil {
		return nil, err
	}
	return eventWriter{log}, nil
}

type eventWriter struct{ log *eventlog.Log }

func (w eventWriter) Write(line []byte) (int, error) {
	return len(line), w.log.Info(1, string(line))
}
