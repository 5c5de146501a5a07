package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Logs is the console log and, while the machine runs, the journal of this boot.
func (m *Machine) Logs() string { return m.console() + m.journal() }

func (m *Machine) console() string {
	text, err := os.ReadFile(m.consoleFile())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// journal is empty for a machine that is off or has no systemd.
func (m *Machine) journal() string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	text, _, _ := m.Exec(ctx, "journalctl", "-b", "--no-pager", "-o", "short-monotonic")
	return text
}

// report is what a failed test shows: the ends of the logs, the console only where it
// is all there is.
func (m *Machine) report() string {
	var b strings.Builder
	if journal := m.journal(); journal != "" {
		fmt.Fprintf(&b, "journal:\n%s\n", tail(journal, 60))
	} else {
		fmt.Fprintf(&b, "console:\n%s\n", tail(m.console(), 30))
	}
	// A machine that is off has no files to show.
	_ = m.Inside(func() error {
		for _, pattern := range m.logs {
			files, err := filepath.Glob(pattern)
			if err != nil {
				return err
			}
			for _, file := range files {
				if text, err := os.ReadFile(file); err == nil && len(text) > 0 {
					fmt.Fprintf(&b, "%s:\n%s\n", file, tail(string(text), 40))
				}
			}
		}
		return nil
	})
	return b.String()
}

// tail is the last n lines of a text.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > n {
		lines = append([]string{fmt.Sprintf("… %d lines left out", len(lines)-n)}, lines[len(lines)-n:]...)
	}
	return strings.Join(lines, "\n")
}
