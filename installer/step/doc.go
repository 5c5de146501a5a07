// Package step is the vocabulary of change: one kind of change a file, each a
// value that says what to change and that can be done, undone and repeated. A
// plan is a list of these.
//
// Every step makes its change durable before it returns, in either direction. An
// undo overwrites only what its own step wrote: what somebody changed since is
// kept beside it with the suffix .ss-save and told. No undo removes what the
// link `current` names.
package step
