// Package txn runs a plan as a transaction that survives the death of the
// process, of the machine and of its own recovery.
//
// A plan is an ordered list of steps. For each step the engine looks (Prepare),
// writes to a journal what undoing will need and syncs it, acts (Do), and marks
// the step done. Until the commit step everything can be undone, in reverse;
// after it everything goes forward. What has been committed is read from the
// machine, never guessed from the journal.
//
// Two more places matter. From the gate on, the new state is complete but not
// yet proven: recovery tries to go forward there and goes back when that fails.
// Before the gate recovery only goes back.
//
// The package knows steps as an interface and no product at all.
package txn
