// Package install holds the one-liner scripts as templates: downloads that fetch the
// package of a release, verify it and run the ss-setup in it. ss-release renders them;
// nothing else is in here, so that the scripts lie where a reader looks for scripts.
package install

import "embed"

// Templates are the scripts, in the syntax of text/template.
//
//go:embed *.tmpl
var Templates embed.FS
