// Package vfsdecrypt recovers the files of encrypted VFSs of versions 4 and 5.
//
// How those versions wrote files was never published. What the package knows is what AES
// can be used for: a Profile says which mode a file is in, how the key is made of the
// passphrase, where the initialisation vector comes from and what stands in front of the
// content. A Prober finds the profile by itself: it tries every one it can think of on
// sample files, and takes the one under which they become something that is recognised -
// text, a PDF, an archive that ends as archives do.
//
// Run decrypts a folder into a Target, several files at once, each as a stream. It never
// writes into the source. A file appears in the target when it is whole, with the time of
// its source, so that a run that was cut off goes on where it was: what is there is done.
//
// The old format has no checksums. That a file came out right is seen by its padding, by a
// length if its header has one, and by its content being of the kind that its name says;
// what does not fit is named, never thrown away.
package vfsdecrypt
