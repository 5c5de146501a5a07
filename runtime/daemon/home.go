// Package daemon is what ss-server and ss-licensed do alike: find their generation,
// open its store, serve HTTPS, stay closed until the generation is committed, and
// stop in bounded time.
//
// A daemon belongs to one generation for its whole life. It resolves its home once,
// at the start; a switch of `current` under its feet changes nothing for it.
package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Home is the generation a daemon runs in.
type Home struct {
	// Dir is the physical folder, links resolved.
	Dir string
	// Generation is its number.
	Generation int
	// Data is the daemon's data folder of this generation.
	Data string
}

// Find resolves path (`current`, or a generation's folder) and finds the data of the
// kind that is kept under name.
func Find(path, name string) (Home, error) {
	dir, err := resolve(path)
	if err != nil {
		return Home{}, fmt.Errorf("find the installed generation: %w; run ss-setup status", err)
	}
	generation, err := generationOf(filepath.Base(dir))
	if err != nil {
		return Home{}, fmt.Errorf("%s leads to %s: %w; run ss-setup status", path, dir, err)
	}
	home := Home{Dir: dir, Generation: generation, Data: dataFolder(dir, name)}
	if info, err := os.Stat(home.Data); err != nil {
		return Home{}, fmt.Errorf("find the data of generation %d: %w; run ss-setup install --repair", generation, err)
	} else if !info.IsDir() {
		return Home{}, fmt.Errorf("data of generation %d: %s is not a folder; run ss-setup install --repair", generation, home.Data)
	}
	return home, nil
}

// OpenFile is the file whose presence commits the generation.
func (h Home) OpenFile() string { return filepath.Join(h.Dir, "open") }

// generationOf reads the number of a generation from its folder's name. Only the one
// spelling ss-setup writes counts: two folders must never be the same number.
func generationOf(name string) (int, error) {
	n, err := strconv.Atoi(name)
	if err != nil || n < 1 || strconv.Itoa(n) != name {
		return 0, fmt.Errorf("%q is not the number of a generation", name)
	}
	return n, nil
}
