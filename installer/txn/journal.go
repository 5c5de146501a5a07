package txn

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"

	"ss-setup/installer/machine"
)

// The types of journal records.
const (
	recOpen     = "open"     // first: the plan and what the scaffold made
	recBegin    = "begin"    // a step is about to act; carries its undo
	recDone     = "done"     // a step has acted
	recRollback = "rollback" // from here on only back
	recUndone   = "undone"   // a step was put back
	recAbandon  = "abandon"  // the user asked to leave everything as it is
	recResume   = "resume"   // an abandoned run was taken up again
	recEnd      = "end"      // only tidying is left
)

// journalVersion is the version of the record format.
const journalVersion = 1

// journalSpace is reserved when a journal is opened, so that a full disk cannot
// keep a run from writing how it is undone. A plan of 60 steps needs about 60 KiB.
const journalSpace = 512 << 10

// record is one line of the journal: eight hex digits of CRC-32C, a space, JSON.
type record struct {
	V    int             `json:"v"`
	Seq  int             `json:"seq"`
	Type string          `json:"type"`
	Step int             `json:"step,omitempty"`
	Kind string          `json:"kind,omitempty"`
	Undo json.RawMessage `json:"undo,omitempty"`
	Plan json.RawMessage `json:"plan,omitempty"`
	// Scaffold is what Scaffold.Prepare returned.
	Scaffold json.RawMessage `json:"scaffold,omitempty"`
	// Made lists folders that opening the journal made, topmost first.
	Made   []string `json:"made,omitempty"`
	Engine string   `json:"engine,omitempty"`
	Reason string   `json:"reason,omitempty"`
	// Cause is the name that Engine.Causes has for the reason.
	Cause string `json:"cause,omitempty"`
	// Outcome is how it ended.
	Outcome Outcome `json:"outcome,omitempty"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeRecord(r record) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode journal record %s: %w", r.Type, err)
	}
	line := fmt.Appendf(nil, "%08x ", crc32.Checksum(body, castagnoli))
	return append(append(line, body...), '\n'), nil
}

// parseJournal reads records up to the first that is torn, damaged, out of
// order or of an unknown version, and tells where the good part ends. Only an
// unknown version with a right checksum is an error: it is whole, but not ours.
func parseJournal(data []byte) (recs []record, good int, err error) {
	for {
		line, _, found := bytes.Cut(data[good:], []byte("\n"))
		if !found || len(line) < 10 || line[8] != ' ' {
			return recs, good, nil
		}
		sum, perr := strconv.ParseUint(string(line[:8]), 16, 32)
		if perr != nil || uint32(sum) != crc32.Checksum(line[9:], castagnoli) {
			return recs, good, nil
		}
		var r record
		if err := json.Unmarshal(line[9:], &r); err != nil {
			return recs, good, nil
		}
		if r.V != journalVersion {
			return recs, good, fmt.Errorf("the journal is of format %d, this version knows %d: recover with the ss-setup that wrote it", r.V, journalVersion)
		}
		if r.Seq != len(recs) {
			return recs, good, nil
		}
		recs = append(recs, r)
		good += len(line) + 1
	}
}

// journal is the open journal of a transaction.
type journal struct {
	file *machine.File
	end  int64
	seq  int
	// broken is set when a write could not be taken back: nothing may follow it.
	broken bool
}

func journalPath(dir string) string { return filepath.Join(dir, "journal") }

// createJournal makes the transaction's folder and writes the first record.
// Nothing has happened before it returns, so whatever is left of a failure may
// simply be removed.
func createJournal(f *machine.FS, dir string, first record) (*journal, error) {
	for _, d := range first.Made {
		if err := f.Mkdir(d, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if err := f.SyncDir(filepath.Dir(d)); err != nil {
			return nil, err
		}
	}
	h, err := f.Create(journalPath(dir), 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{file: h}
	err = h.Allocate(journalSpace)
	if err == nil {
		err = j.append(first, true)
	}
	if err == nil {
		err = f.SyncDir(dir)
	}
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return j, nil
}

// openJournal reads a journal and cuts it back to its last good record.
func openJournal(f *machine.FS, dir string) (*journal, []record, error) {
	data, err := f.ReadFile(journalPath(dir))
	if err != nil {
		return nil, nil, err
	}
	recs, good, err := parseJournal(data)
	if err != nil {
		return nil, recs, err
	}
	h, err := f.OpenWrite(journalPath(dir))
	if err != nil {
		return nil, recs, err
	}
	j := &journal{file: h, end: int64(good), seq: len(recs)}
	if good < len(data) {
		if err := h.Truncate(int64(good)); err != nil {
			return nil, recs, errors.Join(err, h.Close())
		}
	}
	return j, recs, nil
}

// append adds a record; with sync it is durable, and so is all before it.
func (j *journal) append(r record, sync bool) error {
	if j.broken {
		return errors.New("write journal: an earlier record could not be written whole")
	}
	r.V, r.Seq = journalVersion, j.seq
	line, err := encodeRecord(r)
	if err != nil {
		return err
	}
	if _, err := j.file.WriteAt(line, j.end); err != nil {
		j.broken = j.file.Truncate(j.end) != nil
		return fmt.Errorf("write journal record %s: %w", r.Type, err)
	}
	j.end += int64(len(line))
	j.seq++
	if !sync {
		return nil
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("sync journal record %s: %w", r.Type, err)
	}
	return nil
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	return j.file.Close()
}

// readJournal reads without changing anything.
func readJournal(f *machine.FS, dir string) ([]record, error) {
	h, err := f.Open(journalPath(dir))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(h)
	if err = errors.Join(err, h.Close()); err != nil {
		return nil, err
	}
	recs, _, err := parseJournal(data)
	return recs, err
}
