package engine

import "go.etcd.io/bbolt"

// ForgetChanges makes the log of changes reach back no further than now.
func ForgetChanges(tx *bbolt.Tx) error { return setCounter(tx, horizonCounter, seqOf(tx)) }
