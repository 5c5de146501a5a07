package reproducible

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// Exclusion names files that may differ, and why.
type Exclusion struct {
	Pattern string // of path.Match, for the path below the folder, with slashes
	Reason  string
}

// Compare holds all files below two folders against each other, tells out of each
// whether it was compared or excluded, and returns what differs. An exclusion that
// fits no file is one of them: it would hide a file of that name one day.
func Compare(out io.Writer, one, other string, excluded []Exclusion) (differs []string, err error) {
	a, err := sums(one)
	if err != nil {
		return nil, err
	}
	b, err := sums(other)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		why, err := exclusion(name, excluded)
		if err != nil {
			return nil, err
		}
		sum, inOne := a[name]
		_, inOther := b[name]
		switch {
		case inOne != inOther:
			differs = append(differs, name+" is in one of them only")
		case why != nil:
			used[why.Pattern] = true
			fmt.Fprintf(out, "excluded  %s (%s)\n", name, why.Reason)
		case !bytes.Equal(sum, b[name]):
			differs = append(differs, name+" differs")
		default:
			fmt.Fprintf(out, "the same  %s %x\n", name, sum[:8])
		}
	}
	for _, e := range excluded {
		if !used[e.Pattern] {
			differs = append(differs, fmt.Sprintf("nothing is called %s, which is excluded", e.Pattern))
		}
	}
	if len(all) == 0 {
		differs = append(differs, "there is nothing in either of them")
	}
	return differs, nil
}

// exclusion is the first that fits a file; nil where none does.
func exclusion(name string, excluded []Exclusion) (*Exclusion, error) {
	for i, e := range excluded {
		fits, err := path.Match(e.Pattern, name)
		if err != nil {
			return nil, fmt.Errorf("exclude %s: %w", e.Pattern, err)
		}
		if fits {
			return &excluded[i], nil
		}
	}
	return nil, nil
}

// sums are the digests of the files below a folder. What is neither file nor folder
// has no place in a release.
func sums(dir string) (map[string][]byte, error) {
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
			return err
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is no regular file", file)
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		all[filepath.ToSlash(rel)], err = sum(file)
		return err
	})
	return all, err
}

func sum(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return h.Sum(nil), err
}
