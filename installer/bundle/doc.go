// Package bundle reads what ss-setup installs from: a manifest that names every
// file of a release, and one compressed archive, the payload, that holds them.
//
// The manifest is small, strict and the root of everything else here. Whoever
// trusts its bytes (see Verifier) may trust what Unpack has written, because
// Unpack compares the payload and each file in it with the size, mode and
// digest that the manifest states, while it writes. Unpack writes only through
// the Target it is handed, so the caller decides where; it must be a private
// staging folder that is renamed after Unpack has returned nil, and thrown away
// otherwise.
//
// The package knows nothing of generations, services or the journal, and makes
// no file by itself.
package bundle
