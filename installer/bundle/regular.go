package bundle

import (
	"errors"
	"fmt"
	"os"
)

// ErrIrregular is found in the error of OpenRegular for a pipe, a device or a folder.
var ErrIrregular = errors.New("no regular file")

// OpenRegular opens a regular file for reading and refuses everything else. It never
// waits: who may write where the file lies could put a pipe in its place just after
// somebody has looked.
func OpenRegular(path string) (*os.File, error) {
	// Opening alone can do something, to a tape for instance.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := isRegular(path, info); err != nil {
		return nil, err
	}
	return openStill(path)
}

// openStill opens a file and looks at what it has opened.
func openStill(path string) (*os.File, error) {
	f, err := openAtOnce(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = isRegular(path, info)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func isRegular(path string, info os.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	return fmt.Errorf("%s is %w", path, ErrIrregular)
}
