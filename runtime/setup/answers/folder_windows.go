package answers

import (
	"path/filepath"

	"ss-setup/runtime/config"
)

// defaultFolder is where the files of a site lie unless told otherwise.
func defaultFolder(site string) string { return filepath.Join(config.StateFolder, "vfs", site) }
