// Package cli is ss-setup as people and scripts meet it: verbs, flags, questions,
// what is printed, and the number that the program ends with.
//
// It makes nothing happen by itself. It builds the machine, hands the question
// "what is to be done" to package plan and the answer to package txn, and turns
// what comes back into sentences. What a verb prints goes through one Reporter:
// a bar for a terminal, plain lines for a pipe, one JSON object a line for
// programs (docs/events.md).
package cli
