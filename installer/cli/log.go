package cli

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"ss-setup/installer/machine"
)

// logFile is the log of one run. What is logged before it is opened waits: a run
// that is refused leaves nothing behind.
type logFile struct {
	mu      sync.Mutex
	waiting bytes.Buffer
	file    *os.File
	path    string
}

// Write keeps or writes a record. A full disk must not end a run, so it never fails.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var w io.Writer = &l.waiting
	if l.file != nil {
		w = l.file
	}
	_, _ = w.Write(p)
	return len(p), nil
}

// open begins the file with what has waited.
func (l *logFile) open(path string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		return nil
	}
	// Logs lie outside the transaction: they are to tell of a run that was put back.
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the folder of the log: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	_, _ = f.Write(l.waiting.Bytes())
	l.waiting.Reset()
	l.file, l.path = f, path
	return nil
}

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close()
	}
}

// name is the log's path, empty when there is none, or none any more.
func (l *logFile) name() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := os.Stat(l.path); err != nil {
		return ""
	}
	return l.path
}

func newLogger(w io.Writer, trace bool) *slog.Logger {
	level := slog.LevelInfo
	if trace {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// standardLog is where a run's log goes unless told otherwise.
func standardLog(verb string, now time.Time) string {
	return filepath.Join(machine.SetupLogDir, now.UTC().Format("20060102T150405.000Z")+"-"+verb+".log")
}

// startLog opens the log. That of an image goes only where --log says: an image
// that is built twice is to be the same twice.
func (s *session) startLog() {
	path := s.logFile
	if path == "" {
		if s.root != "" {
			return
		}
		path = standardLog(s.verb, time.Now())
	}
	if err := s.logTo.open(path); err != nil {
		s.out.warn(fmt.Sprintf("this run is not logged: %v", err))
	}
}
