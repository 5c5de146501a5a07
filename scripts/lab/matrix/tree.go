//go:build linux

package matrix

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// copyTree copies a machine's tree with owners, modes and times.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return copyEntry(path, filepath.Join(to, rel), d)
	})
}

// large files are linked instead of copied, and hashed once.
const large = 1 << 20

func copyEntry(from, to string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	st := info.Sys().(*syscall.Stat_t)
	switch {
	case info.IsDir():
		err = os.MkdirAll(to, 0o755)
	case info.Mode()&fs.ModeSymlink != 0:
		var target string
		if target, err = os.Readlink(from); err == nil {
			err = os.Symlink(target, to)
		}
		return errors.Join(err, os.Lchown(to, int(st.Uid), int(st.Gid)))
	case info.Size() >= large:
		// ss-setup itself: replaced by renames, never written in place.
		return os.Link(from, to)
	default:
		err = copyFile(from, to)
	}
	if err != nil {
		return err
	}
	if err := os.Chown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := os.Chmod(to, info.Mode()); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// entry is one path of a tree as it is compared.
type entry struct {
	what  string // type, mode, owner, content
	mtime time.Time
}

// tree is everything on a machine that counts.
type tree map[string]entry

// unimportant paths differ between runs that are alike: logs, and what lives
// only while the machine runs.
func unimportant(rel string) bool {
	for _, p := range []string{"var/log/ss-setup", "etc/.pwd.lock", "tmp", "run"} {
		if rel == p || strings.HasPrefix(rel, p+"/") {
			return true
		}
	}
	return false
}

// readTree reads a machine's tree.
func readTree(dir string) (tree, error) {
	t := tree{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil || rel == "." {
			return err
		}
		if unimportant(rel) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		e, err := readEntry(path, rel, d)
		if e.what != "" {
			t[rel] = e
		}
		return err
	})
	return t, err
}

func readEntry(path, rel string, d fs.DirEntry) (entry, error) {
	info, err := d.Info()
	if err != nil {
		return entry{}, err
	}
	st := info.Sys().(*syscall.Stat_t)
	what := fmt.Sprintf("%s %d:%d", info.Mode(), st.Uid, st.Gid)
	switch {
	case info.IsDir():
		return entry{what: what}, nil
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return entry{what: "link " + target}, err
	}
	if info.Size() >= large {
		sum, err := largeDigest(path, info)
		return entry{what: what + " " + sum, mtime: info.ModTime()}, err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return entry{}, err
	}
	content, err = normalise(rel, content)
	if err != nil || content == nil {
		return entry{}, err
	}
	sum := sha256.Sum256(content)
	return entry{what: what + " " + hex.EncodeToString(sum[:]), mtime: info.ModTime()}, nil
}

// digests of large files by what the file system knows of them.
var digests sync.Map

func largeDigest(path string, info fs.FileInfo) (string, error) {
	st := info.Sys().(*syscall.Stat_t)
	key := fmt.Sprint(st.Dev, st.Ino, st.Size, st.Mtim)
	if sum, known := digests.Load(key); known {
		return sum.(string), nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	digests.Store(key, hex.EncodeToString(sum[:]))
	return hex.EncodeToString(sum[:]), nil
}

// normalise leaves out what two like runs do not share: random secrets, times,
// used-up numbers, and the memory of a release that failed. nil leaves out the file.
func normalise(rel string, content []byte) ([]byte, error) {
	switch {
	case strings.HasSuffix(rel, "probe.key"):
		if len(content) != 65 {
			return nil, fmt.Errorf("%s: %d bytes", rel, len(content))
		}
		return []byte("secret"), nil
	case rel == "var/lib/ss-setup/state.json", strings.HasPrefix(rel, "var/lib/ss-setup/receipts/"), strings.HasPrefix(rel, "var/lib/ss-setup/originals/") && strings.HasSuffix(rel, ".json"):
		return normaliseJSON(rel, content)
	}
	return content, nil
}

func normaliseJSON(rel string, content []byte) ([]byte, error) {
	var v map[string]any
	if err := json.Unmarshal(content, &v); err != nil {
		return nil, fmt.Errorf("%s: %w", rel, err)
	}
	for _, k := range []string{"created", "next_generation", "failed_releases", "wrote"} {
		delete(v, k)
	}
	if files, ok := v["files"].([]any); ok {
		v["files"] = slices.DeleteFunc(files, func(f any) bool {
			path, _ := f.(map[string]any)["path"].(string)
			return strings.HasSuffix(path, "probe.key")
		})
	}
	if generations, ok := v["generations"].(map[string]any); ok {
		for _, g := range generations {
			delete(g.(map[string]any), "ended_at")
		}
	}
	return json.Marshal(v)
}

// diff tells where two trees differ; with times also modification times count,
// but for the state, in which a number that was taken stays taken.
func diff(want, got tree, times bool) []string {
	var out []string
	for path, w := range want {
		g, there := got[path]
		switch {
		case !there:
			out = append(out, "missing: "+path)
		case g.what != w.what:
			out = append(out, fmt.Sprintf("differs: %s: %s, not %s", path, g.what, w.what))
		case times && !g.mtime.Equal(w.mtime) && path != "var/lib/ss-setup/state.json":
			out = append(out, fmt.Sprintf("time: %s: %s, not %s", path, g.mtime, w.mtime))
		}
	}
	for path := range got {
		if _, there := want[path]; !there {
			out = append(out, "extra: "+path)
		}
	}
	slices.Sort(out)
	return out
}
