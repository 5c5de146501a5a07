// Package plan turns what is on a machine and what the user asked for into an
// ordered list of steps: one file a verb, each a recipe that a system
// administrator can read. It changes nothing.
package plan
