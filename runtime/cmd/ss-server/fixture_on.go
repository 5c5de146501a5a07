//go:build fixture

package main

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"
	"go.etcd.io/bbolt"

	"ss-setup/runtime/verbs"
)

// notesBucket holds what tests put into a store to see it again after an update.
var notesBucket = []byte("notes")

// noteChunk bounds a record: bbolt is at its best with records of a page or less.
const noteChunk = 3 << 10

// fixtureVerbs is the hidden verb `note`.
func fixtureVerbs() []*cli.Command {
	data := &cli.StringFlag{Name: "data", Required: true}
	return []*cli.Command{{
		Name: "note", Hidden: true, Flags: []cli.Flag{data},
		Subcommands: []*cli.Command{
			{Name: "add", ArgsUsage: "KEY SIZE", Action: addNote},
			{Name: "list", Action: listNotes},
		},
	}}
}

// notesPerCommit keeps the memory of one transaction small when a test asks for a
// store of hundreds of megabytes.
const notesPerCommit = 4000

// addNote stores SIZE bytes derived from KEY, in records of noteChunk.
func addNote(c *cli.Context) error {
	key := c.Args().Get(0)
	size, err := strconv.Atoi(c.Args().Get(1))
	if err != nil || size < 0 {
		return fmt.Errorf("%w: SIZE is a number of bytes", verbs.ErrUsage)
	}
	st, err := schema().Open(c.String("data"))
	if err != nil {
		return err
	}
	records := max(1, (size+noteChunk-1)/noteChunk)
	for from := 0; err == nil && from < records; from += notesPerCommit {
		err = st.Update(func(tx *bbolt.Tx) error {
			return putNotes(tx, key, size, from, min(from+notesPerCommit, records))
		})
	}
	return errors.Join(err, st.Close())
}

func putNotes(tx *bbolt.Tx, key string, size, from, to int) error {
	notes, err := tx.CreateBucketIfNotExists(notesBucket)
	if err != nil {
		return err
	}
	for i := from; i < to; i++ {
		n := min(size-i*noteChunk, noteChunk)
		if err := notes.Put(fmt.Appendf(nil, "%s/%09d", key, i), noteBytes(key, i, n)); err != nil {
			return err
		}
	}
	return nil
}

// listNotes prints each record as key, size and the first hex digits of its SHA-256.
func listNotes(c *cli.Context) error {
	st, err := schema().Open(c.String("data"))
	if err != nil {
		return err
	}
	return errors.Join(st.View(func(tx *bbolt.Tx) error {
		notes := tx.Bucket(notesBucket)
		if notes == nil {
			return nil
		}
		return notes.ForEach(func(k, v []byte) error {
			sum := sha256.Sum256(v)
			_, err := fmt.Fprintf(c.App.Writer, "%s %d %x\n", k, len(v), sum[:8])
			return err
		})
	}), st.Close())
}

// noteBytes are n bytes that do not compress and that the key alone makes again.
func noteBytes(key string, i, n int) []byte {
	out := make([]byte, 0, n+sha256.Size)
	for block := uint64(0); len(out) < n; block++ {
		seed := binary.BigEndian.AppendUint64(fmt.Appendf(nil, "%s/%d/", key, i), block)
		sum := sha256.Sum256(seed)
		out = append(out, sum[:]...)
	}
	return out[:n]
}
