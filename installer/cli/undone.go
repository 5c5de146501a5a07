package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ss-setup/installer/machine"
	"ss-setup/installer/plan"
	"ss-setup/installer/step"
)

const (
	// undoneFile lies in the folder of the generation that a rollback left, and goes
	// with it.
	undoneFile = "undone.txt"
	// undoneTime bounds the search for what a rollback undoes: of a server that hangs
	// people want to get away.
	undoneTime = 2 * time.Minute
	// undoneShown is how much of it is shown at once.
	undoneShown = 20 // lines
)

// tellUndone adds to a rollback what it undoes of what people have changed since the
// older generation was left: disabled users, passwords, keys, rights. The whole list is
// kept beside the generation that is left. A newer release that cannot tell it, perhaps
// the very reason for going back, does not hold the rollback up.
func (s *session) tellUndone(ctx context.Context, sit *plan.Situation, p *plan.Proposal) error {
	since := fmt.Sprintf("since generation %d was left", p.Generation)
	if p.Generation == 0 {
		since = "since the upgrade"
	}
	lines, err := s.undone(ctx, sit, p)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		s.log.Warn("what this undoes cannot be listed", "error", err)
		p.Notes = append(p.Notes, fmt.Sprintf("what was changed %s cannot be listed: %v", since, withoutNewlines(err)))
		return nil
	case len(lines) == 0:
		p.Notes = append(p.Notes, fmt.Sprintf("nothing was changed %s: nothing is undone but the release", since))
		return nil
	}
	shown := lines[:min(len(lines), undoneShown)]
	p.Notes = append(p.Notes, fmt.Sprintf("this undoes %d changes:", len(lines)))
	for _, line := range shown {
		p.Notes = append(p.Notes, "  "+line)
	}
	if more := len(lines) - len(shown); more > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("  and %d more", more))
	}
	p.Notes = append(p.Notes, "the list is kept in "+s.m.FS.Real(undonePath(p)))
	s.undoes = lines
	return nil
}

// undonePath is where the list is kept: with the generation that is left, or where all of
// them go, with the logs.
func undonePath(p *plan.Proposal) string {
	if p.Generation == 0 {
		return filepath.Join(machine.SetupLogDir, fmt.Sprintf("undone-%d.txt", p.Previous))
	}
	return filepath.Join(machine.Generation(p.Previous), undoneFile)
}

// keepUndone keeps the list of what the run undoes.
func (s *session) keepUndone(p *plan.Proposal) error {
	if len(s.undoes) == 0 {
		return nil
	}
	content := strings.Join(s.undoes, "\n") + "\n"
	err := os.MkdirAll(s.m.FS.Real(filepath.Dir(undonePath(p))), 0o750)
	if err == nil {
		err = s.m.FS.WriteFile(undonePath(p), []byte(content), machine.Attr{Mode: 0o600})
	}
	if err != nil {
		return fmt.Errorf("keep the list of what is undone: %w; nothing was changed", err)
	}
	return nil
}

func withoutNewlines(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// undone asks the release in force, a line an object.
func (s *session) undone(ctx context.Context, sit *plan.Situation, p *plan.Proposal) (lines []string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, undoneTime, errors.New("it takes too long"))
	defer cancel()
	since := machine.ServerData(p.Generation)
	if p.Generation == 0 {
		if since, err = s.imported(p.Previous); err != nil {
			return nil, err
		}
	}
	args := []string{"changes", "--since", s.m.FS.Real(since), "--home", s.m.FS.Real(machine.Generation(p.Previous))}
	if s.root != "" {
		args = append(args, "--control", s.m.FS.Real(filepath.Join(machine.SetupDir, "none")))
	}
	err = s.m.Programs.Run(ctx, step.Command{
		Path: machine.Program(sit.Release, machine.ServerService), Args: args,
		Line: func(line []byte) { lines = append(lines, string(line)) },
	})
	if cause := context.Cause(ctx); cause != nil && err != nil {
		err = cause
	}
	return lines, err
}

// imported is the newest store as it was imported, of generation n or one before it.
func (s *session) imported(n int) (dir string, err error) {
	for ; n > 0; n-- {
		if dir := machine.Imported(n); s.m.FS.Exists(dir) {
			return dir, nil
		}
	}
	return "", errors.New("the store as it was imported is not there any more")
}
