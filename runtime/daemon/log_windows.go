package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/windows/svc/eventlog"

	"ss-setup/runtime/config"
	"ss-setup/runtime/logfile"
)

// Logger writes JSON lines to standard error or, for a service, which has none, to
// its file in the log folder. What an administrator must act on goes to the event log
// too. The level may be changed at any time.
func Logger(toSystem, asService bool, program string) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	var out io.Writer = os.Stderr
	if asService {
		if f, err := logfile.Open(filepath.Join(config.StateFolder, "log", program+".log"), logLimits, time.Now); err == nil {
			out = f
		}
	}
	var h slog.Handler = slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level})
	if toSystem || asService {
		if log, err := eventlog.Open(program); err == nil {
			h = &eventHandler{Handler: h, log: log}
		}
	}
	return slog.New(h).With("program", program), level
}

// logLimits bound the log of a service.
var logLimits = logfile.Limits{Size: 16 << 20, Files: 10}

// eventLog is the part of the event log that is written to.
type eventLog interface {
	Error(id uint32, message string) error
	Warning(id uint32, message string) error
}

// eventID numbers all our events. EventCreate.exe, which has a text for each number
// from 1 to 1000, shows the message as it is.
const eventID = 1

// eventHandler writes warnings and errors to the event log besides.
type eventHandler struct {
	slog.Handler
	log   eventLog
	attrs []slog.Attr
}

// Handle implements slog.Handler. An event log that is full or gone hinders nothing.
func (h *eventHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		text := r.Message
		add := func(a slog.Attr) bool {
			text += fmt.Sprintf("\r\n%s: %v", a.Key, a.Value)
			return true
		}
		for _, a := range h.attrs {
			add(a)
		}
		r.Attrs(add)
		if r.Level >= slog.LevelError {
			_ = h.log.Error(eventID, text)
		} else {
			_ = h.log.Warning(eventID, text)
		}
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *eventHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &eventHandler{h.Handler.WithAttrs(attrs), h.log, append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

// WithGroup implements slog.Handler; the event log knows no groups.
func (h *eventHandler) WithGroup(name string) slog.Handler {
	return &eventHandler{h.Handler.WithGroup(name), h.log, h.attrs}
}
