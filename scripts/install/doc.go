// Package install is the one-liner scripts as templates of text/template, and the tests
// of what lies in them. ss-release renders them: see ss-setup/packaging/release, Scripts.
package install
