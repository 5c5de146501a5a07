// Package repository is the client of a release repository: a static web site, or
// several mirrors of it, with
//
//	metadata/   what package trust verifies
//	targets/    the files that it names, each with its digest in front of its name
//
// Nothing that a server says is believed. Metadata are verified by package trust, a
// file is written into a folder of the caller's and has its name there only when its
// size and digest are those that were signed. What was cut off is taken up where it
// ended, and proved whole in the end.
package repository
