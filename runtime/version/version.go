// Package version holds the version of the release that a program was built as.
// The top heading of CHANGELOG.md is its one source; the Makefile hands it to the
// linker.
package version

// Version is the release in semantic-version form, without a leading v.
var Version = "0.0.0-dev"
