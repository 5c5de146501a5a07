package keyring

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"ss-setup/runtime/vfs/crypt"
)

// File is a key as it lies in the ring.
type File struct {
	Name    string
	Content []byte
}

// Files are all keys in dir as they lie there, in the order of their names; none if
// there is no key ring yet.
func Files(dir string) ([]File, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	files := make([]File, 0, len(names))
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read a key: %w", err)
		}
		files = append(files, File{filepath.Base(name), content})
	}
	return files, nil
}

var (
	masterName  = regexp.MustCompile(`^master-([0-9]{4,9})\` + suffix + `$`)
	wrappedName = regexp.MustCompile(`^vfs-([0-9a-f]+)\` + suffix + `$`)
)

// Import keeps a key under the name that it had in another ring. What is no key is
// ErrDamaged, a name that is taken fs.ErrExist.
func (r *Ring) Import(f File) error {
	if err := check(f); err != nil {
		return err
	}
	return r.write(f.Name[:len(f.Name)-len(suffix)], f.Content)
}

// check says whether a file is a key, and the one that its name tells.
func check(f File) error {
	switch {
	case masterName.MatchString(f.Name):
		_, err := parseMaster(f.Name, f.Content)
		return err
	case wrappedName.MatchString(f.Name):
		w, err := crypt.ParseWrapped(f.Content)
		if err != nil || wrappedName.FindStringSubmatch(f.Name)[1] != w.ID {
			return fmt.Errorf("%w: %s", ErrDamaged, f.Name)
		}
		return nil
	}
	return fmt.Errorf("%w: this release knows no key of the name %s", ErrDamaged, f.Name)
}

// Absorb adds the keys of another ring that this one does not have, and says how many.
// No key that is here changes: two rings can each have a master key of one number, so
// those of the other get the next numbers, in their order. Keys are told apart by their
// own names, which are random. It may be cut anywhere and done again.
func (r *Ring) Absorb(from *Ring) (added int, err error) {
	files, err := Files(from.dir)
	if err != nil {
		return 0, err
	}
	own, err := r.Masters()
	if err != nil {
		return 0, err
	}
	next, err := r.lastNumber()
	if err != nil {
		return 0, err
	}
	// Sorting by name sorts by number only as long as they are of one length.
	slices.SortStableFunc(files, func(a, b File) int { return number(a.Name) - number(b.Name) })
	for _, f := range files {
		if err := check(f); err != nil {
			return added, err
		}
		if masterName.MatchString(f.Name) {
			next, err = r.absorbMaster(f, own, next)
		} else {
			err = r.Import(f)
		}
		if errors.Is(err, fs.ErrExist) {
			continue // a key of this name is this key
		}
		if err != nil {
			return added, err
		}
		added++
	}
	return added, nil
}

// absorbMaster keeps a master key behind number last; it returns the last number then.
func (r *Ring) absorbMaster(f File, own []crypt.Key, last int) (int, error) {
	key, err := parseMaster(f.Name, f.Content)
	if err != nil {
		return last, err
	}
	for _, k := range own {
		if k.ID() != key.ID() {
			continue
		}
		if k != key {
			return last, fmt.Errorf("%w: two master keys have the name %s; the one in %s is left as it is", ErrDamaged, k.ID(), r.dir)
		}
		return last, fs.ErrExist
	}
	for {
		last++
		if len(own) == 0 && last < number(f.Name) {
			last = number(f.Name)
		}
		if err := r.write(fmt.Sprintf("master-%04d", last), f.Content); !errors.Is(err, fs.ErrExist) {
			return last, err
		}
	}
}

// lastNumber is the highest number of a master key, 0 if there is none.
func (r *Ring) lastNumber() (last int, err error) {
	names, err := filepath.Glob(filepath.Join(r.dir, "master-*"+suffix))
	for _, name := range names {
		last = max(last, number(filepath.Base(name)))
	}
	return last, err
}

// number is that of a master key's file, 0 for any other.
func number(name string) int {
	m := masterName.FindStringSubmatch(name)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}
