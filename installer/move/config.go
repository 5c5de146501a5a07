package move

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Bounds of a configuration folder: what has more of either is no configuration.
const (
	maxConfig  = 64 << 20
	maxEntries = 10_000
)

// Whose a configuration file is. Names of accounts say nothing on another machine.
const (
	// OwnerRoot: root's, or root's group's.
	OwnerRoot = "root"
	// OwnerServer: the account's that the server runs as, or its group's.
	OwnerServer = "server"
	// OwnerOther: somebody else's.
	OwnerOther = "other"
)

// File is a configuration file.
type File struct {
	// Name is the path below the configuration folder, with slashes.
	Name   string      `json:"name"`
	SHA256 string      `json:"sha256"`
	Mode   fs.FileMode `json:"mode"`
	// Owner and Group are OwnerRoot, OwnerServer or OwnerOther; empty where files have
	// access lists instead.
	Owner string `json:"owner,omitempty"`
	Group string `json:"group,omitempty"`
}

// In is where the file lies in the folder dir.
func (f File) In(dir string) string {
	return filepath.Join(dir, configName, filepath.FromSlash(f.Name))
}

// check looks whether a copied file is the one that the list tells of.
func (f File) check(dir string) error {
	if !filepath.IsLocal(filepath.FromSlash(f.Name)) {
		return fmt.Errorf("a configuration file is named %.80q", f.Name)
	}
	content, err := readSmall(f.In(dir), maxConfig)
	if err == nil && digest(content) != f.SHA256 {
		err = fmt.Errorf("%s/%s is not the one that was copied; copy it again", configName, f.Name)
	}
	return err
}

// Config is what lies in a configuration folder.
type Config struct {
	// Bytes is how large its files are together.
	Bytes int64
	// LeftOut are things in it that cannot come along, each with the reason.
	LeftOut []string

	files   []source
	entries int
}

// source is a file of it, or what a link there leads to.
type source struct {
	name, path string
	info       fs.FileInfo
}

// FindConfig looks what lies in the configuration folder dir, which need not be there.
// Links are followed: what they lead to is what the server reads.
func FindConfig(dir string) (Config, error) {
	var c Config
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(dir); err == nil {
			c.LeftOut = append(c.LeftOut, dir+" is a link that leads to nothing")
		}
		return c, nil
	}
	err := c.folder(dir, dir, nil)
	return c, err
}

// folder looks into the folder at path, which is in top or where a link in it leads; above
// are the real paths of those on the way.
func (c *Config) folder(top, path string, above []string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		real = path // reading it tells why
	}
	if slices.Contains(above, real) {
		c.LeftOut = append(c.LeftOut, path+" is a link that leads back to "+real)
		return nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := c.entry(top, filepath.Join(path, e.Name()), e, append(slices.Clone(above), real)); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) entry(top, path string, e fs.DirEntry, above []string) error {
	if c.entries++; c.entries > maxEntries {
		return fmt.Errorf("there are more than %d files in %s; move what is no configuration elsewhere", maxEntries, top)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil && e.Type()&fs.ModeSymlink != 0:
		c.LeftOut = append(c.LeftOut, path+" is a link that leads to nothing")
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return nil // it went away meanwhile
	case err != nil:
		return err
	case info.IsDir():
		return c.folder(top, path, above)
	case !info.Mode().IsRegular():
		c.LeftOut = append(c.LeftOut, path+" is no file")
		return nil
	}
	if c.Bytes += info.Size(); c.Bytes > maxConfig {
		return fmt.Errorf("the files in %s have more than %d bytes; move what is no configuration elsewhere", top, maxConfig)
	}
	name, err := filepath.Rel(top, path)
	c.files = append(c.files, source{name, path, info})
	return err
}

// copyConfig copies the files of the configuration folder.
func (l *List) copyConfig(old Old, to string) error {
	c, err := FindConfig(old.Config)
	if err != nil {
		return err
	}
	l.LeftOut = c.LeftOut
	for _, s := range c.files {
		content, err := readSmall(s.path, maxConfig)
		if err != nil {
			return err
		}
		copied := filepath.Join(to, s.name)
		if err := os.MkdirAll(filepath.Dir(copied), 0o700); err != nil {
			return err
		}
		f := File{Name: filepath.ToSlash(s.name), SHA256: digest(content), Mode: s.info.Mode().Perm()}
		if old.Owner != nil {
			f.Owner, f.Group = old.Owner(s.info)
		}
		l.Config = append(l.Config, f)
		if err := writeNew(copied, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
