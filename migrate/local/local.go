// Package local is what an import knows of the machine that it is for: of its folders, its
// addresses, its name, and of what its administrator has given. A dry run and the import
// that it stands for ask here alike, so that both say the same.
package local

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"ss-setup/migrate/convert"
	"ss-setup/migrate/importer"
	"ss-setup/runtime/daemon"
	"ss-setup/runtime/hostkey"
	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/volume"
)

// Machine is the server that an import is for. All paths are on the file system of this
// process, and need not be there yet.
type Machine struct {
	// State is the server's folder outside the generations.
	State string
	// Config is its configuration file, beside which lists of known keys lie.
	Config string
	// Generations is the folder of its generations.
	Generations string
	// Own are more folders in which no VFS may lie.
	Own []string
	// Account is the one that the server runs as; with none nobody asks what it may do.
	Account string
	// PasswordFile has passwords of PFX certificates and encrypted keys, one a line, and
	// Denylists are more lists of keys that everybody knows; both may be empty.
	PasswordFile string
	Denylists    []string
}

// Options are those of an import for the machine.
func Options(m Machine) (importer.Options, error) {
	o := importer.Options{Files: daemon.DefaultFiles, NewNode: nodeName(), Folder: isFolder, Addresses: addresses(), Access: Access(m.Account), Empty: empty}
	var err error
	if o.Own, err = m.own(); err != nil {
		return o, err
	}
	if m.PasswordFile != "" {
		if o.Passwords, err = passwords(m.PasswordFile); err != nil {
			return o, fmt.Errorf("read the passwords: %w", err)
		}
	}
	lists, err := hostkey.DenylistFiles(m.Config)
	if err != nil {
		return o, err
	}
	o.Weak, err = hostkey.LoadDenylist(append(lists, m.Denylists...)...)
	return o, err
}

// own says why a VFS may not lie in a folder: one of the server's own, which whoever made
// the backup could read then. The usual folders come first: what is told of one is the
// same whatever else there is.
func (m Machine) own() (func(string) error, error) {
	own := append([]string{
		m.State, filepath.Dir(m.Config), m.Generations, daemon.KeyRing(m.State), daemon.Snapshots(m.State), daemon.DefaultLogs,
	}, m.Own...)
	for i, dir := range own {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		own[i] = abs
	}
	return func(path string) error {
		if !filepath.IsAbs(path) {
			return nil // it is not of this system
		}
		return volume.Apart(path, own)
	}, nil
}

// nodeName is what the machine's node is called where nobody has named it.
func nodeName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}
	return convert.Slug(strings.SplitN(host, ".", 2)[0])
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// empty tells of folders that the server takes for one whose disk is not mounted.
func empty(path string) (why, cure string) {
	dir, err := os.Open(path)
	if err != nil {
		return "", ""
	}
	defer dir.Close()
	if _, err := dir.ReadDir(1); !errors.Is(err, io.EOF) {
		return "", ""
	}
	return fmt.Sprintf("its folder %.200q is empty; as a disk that is not mounted looks the same, nobody is let in there", path),
		fmt.Sprintf("mount its disk; or if it is meant to be empty, make the folder %s in it, for the account of the server", vfs.Private)
}

// addresses are those of the machine; none if it does not say.
func addresses() (out []netip.Addr) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}

// maxPasswords bounds the file with passwords, in bytes.
const maxPasswords = 64 << 10

func passwords(file string) (out []string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPasswords+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxPasswords:
		return nil, fmt.Errorf("%s is larger than %d bytes", file, maxPasswords)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			out = append(out, line)
		}
	}
	return out, nil
}
