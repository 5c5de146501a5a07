// Package browser drives the web pages of ss-server in a headless Chromium from Debian's
// package, against a server of the test's own on loopback ports: from the first-run wizard to
// the first upload, and page by page.
//
// It speaks the DevTools protocol over a pipe (devtools_test.go), so it needs nothing but the
// browser. Each page is looked at by axe-core, which is taken from its registry in one fixed
// version with its digest, and photographed at 1280 and 400 px, light and dark; the pictures
// lie in dist/screenshots, for people to look at.
package browser
