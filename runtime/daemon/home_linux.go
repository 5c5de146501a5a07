package daemon

import "path/filepath"

// resolve follows the link `current`, and all others on the way.
func resolve(path string) (string, error) {
	dir, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	return filepath.Abs(dir)
}

// dataFolder is the link of that name in a generation's folder.
func dataFolder(generation, name string) string { return filepath.Join(generation, name) }
