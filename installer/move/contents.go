package move

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"

	"ss-setup/runtime/backup"
	"ss-setup/runtime/model"
)

// Binding is a place with an address of its own where a site is served.
type Binding struct {
	Site string `json:"site"`
	// Address is HOST:PORT.
	Address string `json:"address"`
}

// Contents is what a backup tells of the machine that it was made on.
type Contents struct {
	Node    string
	Objects map[string]int
	// Roots are the folders in which VFSs keep the files of users.
	Roots    []string
	Bindings []Binding
}

// Look reads a whole backup, so that nobody finds out on the new machine that it is no good.
func Look(ctx context.Context, path string) (Contents, error) {
	a, file, err := backup.OpenFile(path, backup.ReadOptions{})
	if err != nil {
		return Contents{}, err
	}
	defer file.Close()
	var c Contents
	s, err := a.Restore(ctx, &looker{&c})
	if err != nil {
		return Contents{}, fmt.Errorf("read the backup %s: %w", path, err)
	}
	c.Node, c.Objects = s.Header.Node, s.Objects
	slices.Sort(c.Roots)
	c.Roots = slices.Compact(c.Roots)
	return c, nil
}

// looker is a backup.Sink that keeps nothing but Contents.
type looker struct{ c *Contents }

func (l *looker) Begin(backup.Header) error { return nil }
func (l *looker) PutFile(backup.File) error { return nil }
func (l *looker) Commit() error             { return nil }
func (l *looker) Abort() error              { return nil }

func (l *looker) Put(o backup.Object) error {
	switch model.Kind(o.Kind) {
	case model.KindVFS:
		var vfs struct {
			Root string `json:"root"`
		}
		if err := json.Unmarshal(o.JSON, &vfs); err != nil {
			return fmt.Errorf("a VFS: %w", err)
		}
		if vfs.Root != "" {
			l.c.Roots = append(l.c.Roots, vfs.Root)
		}
	case model.KindBinding:
		var b struct {
			Binding
			Port     int  `json:"port"`
			Disabled bool `json:"disabled"`
		}
		if err := json.Unmarshal(o.JSON, &b); err != nil {
			return fmt.Errorf("a binding: %w", err)
		}
		if b.Address != "" && !b.Disabled {
			l.c.Bindings = append(l.c.Bindings, Binding{b.Site, net.JoinHostPort(b.Address, strconv.Itoa(b.Port))})
		}
	}
	return nil
}

// Apart refuses a folder that lies in one of others, or above one. What counts is where
// they really are, or will be once they are made.
func Apart(folder string, others ...string) error {
	real := realPath(folder)
	for _, other := range others {
		o := realPath(other)
		if holds(o, real) || holds(real, o) {
			return fmt.Errorf("%w: %s and %s lie one in the other", ErrInside, folder, other)
		}
	}
	return nil
}

func realPath(path string) string {
	path = filepath.Clean(path)
	for there, rest := path, ""; ; there, rest = filepath.Dir(there), filepath.Join(filepath.Base(there), rest) {
		if real, err := filepath.EvalSymlinks(there); err == nil {
			return filepath.Join(real, rest)
		}
		if there == filepath.Dir(there) {
			return path
		}
	}
}

func holds(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}
