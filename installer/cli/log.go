package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
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
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: withoutLogin}))
}

// login is a name and a password in the address of a repository or a proxy.
var login = regexp.MustCompile(`://[^/\s"']*@`)

// withoutLogin keeps passwords in addresses out of the log: it is kept for long, and
// sent to whoever gives support.
func withoutLogin(_ []string, a slog.Attr) slog.Attr {
	text := ""
	switch v := a.Value.Any().(type) {
	case string:
		text = v
	case error:
		text = v.Error()
	default:
		return a
	}
	return slog.String(a.Key, login.ReplaceAllString(text, "://…@"))
}

// standardLog is where a run's log goes unless told otherwise.
func standardLog(verb string, now time.Time) string {
	return filepath.Join(machine.SetupLogDir, now.UTC().Format("20060102T150405.000Z")+"-"+verb+".log")
}

// startNamedLog begins the log that --log names. A folder that is not there is a
// slip of the finger: none is made.
func (s *session) startNamedLog() error {
	if s.logFile == "" {
		return nil
	}
	err := s.logTo.open(s.logFile)
	switch {
	case err == nil, s.guard, s.boot: // a recovery goes on without a log
		return nil
	case !machine.Privileged() && errors.Is(err, fs.ErrPermission): // told of root next
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return usagef("", "--log %s: there is no folder %s", s.logFile, filepath.Dir(s.logFile))
	case errors.Is(err, syscall.EISDIR):
		return usagef("", "--log %s is a folder; name a file", s.logFile)
	}
	return usagef("", "--log %s cannot be written: %v", s.logFile, err)
}

// openLog opens the log in ss-setup's own folder, which it makes: logs lie outside
// the transaction, as they are to tell of a run that was put back.
func (s *session) openLog(path string) error {
	if s.logFile == "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("make the folder of the log: %w", err)
		}
	}
	return s.logTo.open(path)
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
	if err := s.openLog(path); err != nil {
		s.out.warn(fmt.Sprintf("this run is not logged: %v", err))
	}
}
