package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"ss-setup/installer/machine"
)

// SetUp has a server that was just installed, and that nobody has set up yet, make its
// node, its SuperAdmin and its first site. What it says is what people may know: the
// answers themselves, with passwords, are with the machine, and in no plan or journal.
type SetUp struct {
	Release    string `json:"release"`
	Node       string `json:"node,omitempty"`
	SuperAdmin string `json:"superadmin"`
	Site       string `json:"site,omitempty"`
	User       string `json:"user,omitempty"`
	// Folder is where the site's files lie.
	Folder string `json:"folder,omitempty"`
}

type setUpUndo struct {
	// Existed: the folder was there before.
	Existed bool `json:"existed"`
}

// Kind implements Step.
func (s *SetUp) Kind() string { return "set_up" }

func (s *SetUp) String() string {
	text := "set the server up with SuperAdmin " + s.SuperAdmin
	if s.Site != "" {
		text += ", site " + s.Site
	}
	if s.User != "" {
		text += " and user " + s.User
	}
	return text
}

// Prepare notes whether the folder for files is there.
func (s *SetUp) Prepare(_ context.Context, m *Machine) (any, error) {
	return setUpUndo{Existed: s.Folder == "" || m.FS.Exists(s.Folder)}, nil
}

// Do sets the server up. On one that is set up already it changes nothing. A recovery has
// no answers: it can only go on when the run before has done it.
func (s *SetUp) Do(ctx context.Context, m *Machine) error {
	c := Command{Path: program(s.Release, machine.ServerService), Args: []string{"setup", "--check"}}
	if len(m.Answers) > 0 {
		c.Args, c.Input, c.Line = []string{"setup", "--answers", "-", "--json"}, m.Answers, m.SetUpDone
	}
	err := m.Programs.Run(ctx, c)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case len(m.Answers) == 0:
		return fmt.Errorf("the server is not set up, and the answers are gone with the run that was cut: %w", err)
	}
	return fmt.Errorf("the server could not be set up: %w", err)
}

// Undo takes away the folder that was made, unless somebody has put something in it. The
// rest goes with the generation.
func (s *SetUp) Undo(_ context.Context, m *Machine, undo json.RawMessage) error {
	var u setUpUndo
	if err := json.Unmarshal(undo, &u); err != nil {
		return err
	}
	if u.Existed {
		return nil
	}
	entries, err := m.FS.ReadDir(s.Folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != privateFolder {
			m.warn(fmt.Sprintf("%s is left, since there is something in it", s.Folder))
			return nil
		}
	}
	if err := m.FS.RemoveAll(s.Folder); err != nil {
		return err
	}
	return m.FS.SyncDir(filepath.Dir(s.Folder))
}

// privateFolder is what the server keeps for itself in a folder for files.
const privateFolder = ".ss-server"
