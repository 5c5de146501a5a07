// Package sites runs the virtual sites of the model on this node: each with its bindings,
// users, storage and Protector. It listens to the engine, so that what an administrator
// changes holds at once, for sessions that run too: who lost a right, a key or the account
// is out, who got one has it.
//
// What it promises:
//
//   - A site or binding that cannot be served - a port that is taken, a key that cannot be
//     read - is logged, named by [Manager.Status], tried again, and keeps no other from
//     serving.
//   - Nothing is written to the store, and nobody is logged in, before the generation is
//     open: clients see the server and wait.
//   - Counts of quotas, and what accounts did, are kept when the manager closes.
//
// manager.go follows the model; site.go is one site, bindings.go where it listens,
// accounts.go, session.go and layout.go who logs in and what a session sees, volumes.go the
// storage, lists.go the Protector's book.
package sites
