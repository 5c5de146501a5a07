// Package reproducible tells whether two builds of a release are the same bytes. Every
// file counts that is in either, so that one which a later version adds is held to it
// from its first day; what may differ is named, each with its reason.
package reproducible
