package plan

import "io/fs"

// folder is a folder of an installation, before anything is in it.
type folder struct {
	path, owner string
	mode        fs.FileMode
}
