// Package rest is the HTTP interface to the objects of package model, for programs and for
// the web pages: all kinds of objects, the sessions and sites that run, the feed of
// changes, and the ways in. It is described by an OpenAPI document that is made of the Go
// types and served beside it.
//
// Its promises: whoever asks is known by a token or a session before anything is looked
// up; what a role may not see changes no answer, so nobody learns that it is there; a
// secret or the hash of a password goes in and never comes out; a write names the revision
// that it is made to, and who was slower is told what differs; every refusal is a problem
// of RFC 9457 that names field and cure.
//
// Nothing here decides what a valid object is (package model), what fits together (package
// engine), or how storage and SFTP work: those are behind the interfaces in Options.
package rest
