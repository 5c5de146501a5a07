package plan

import "ss-setup/installer/machine"

// binDir is where commands go: /usr/bin, or what a read-only /usr leaves.
func binDir(f *machine.FS) string {
	for _, dir := range []string{machine.BinDir, machine.LocalBinDir} {
		if machine.Writable(f, dir) {
			return dir
		}
	}
	return machine.FallbackBinDir
}
