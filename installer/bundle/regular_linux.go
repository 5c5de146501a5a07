package bundle

import (
	"os"

	"golang.org/x/sys/unix"
)

// openAtOnce opens a file. That of a pipe does not wait for somebody to write to it.
func openAtOnce(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
}
