package plan

import (
	"path/filepath"

	"ss-setup/installer/machine"
)

// binDir is where commands go: /usr/bin, or what a read-only /usr leaves.
func binDir(f *machine.FS) string {
	for _, dir := range []string{machine.BinDir, machine.LocalBinDir} {
		if machine.Writable(f, dir) {
			return dir
		}
	}
	return machine.FallbackBinDir
}

// setupPath is where ss-setup itself is installed.
func (s *Situation) setupPath() string { return filepath.Join(s.bin, machine.SetupName) }
