package answers

import "path"

// defaultFolder is where the files of a site lie unless told otherwise.
func defaultFolder(site string) string { return path.Join("/srv/ss-server", site) }
