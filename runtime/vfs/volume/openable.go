package volume

import (
	"fmt"
	"os"
)

// Openable tells, in no more than two calls, why this process cannot open the folder of a VFS;
// nil if it can. What lies there is not looked at. It is an ErrFolder.
func Openable(dir string) error {
	info, err := os.Stat(dir) // opening a pipe may not end
	if err == nil && !info.IsDir() {
		return fmt.Errorf("%w: %s is no folder", ErrFolder, dir)
	}
	var file *os.File
	if err == nil {
		file, err = os.Open(dir)
	}
	if err != nil {
		return explain(dir, "open", err, cure)
	}
	return file.Close()
}
