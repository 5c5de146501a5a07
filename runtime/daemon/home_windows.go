package daemon

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxPointer bounds what is read of the file `current`.
const maxPointer = 256

// resolve reads the file `current`, which names a generation beside it; a folder is
// a generation's own.
func resolve(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.IsDir() {
		return filepath.Abs(path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxPointer))
	if err != nil {
		return "", err
	}
	name := strings.TrimRight(string(content), "\r\n")
	if _, err := generationOf(name); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return filepath.Join(filepath.Dir(path), "generations", name), nil
}

// dataFolder lies beside the folder of generations, one for each of them.
func dataFolder(generation, name string) string {
	return filepath.Join(filepath.Dir(filepath.Dir(generation)), name, filepath.Base(generation))
}
