package crypt

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"ss-setup/runtime/vfs"
)

// A journal is a file beside the VFS's own that holds what is about to be overwritten
// in one of its files: the new segments, each written and synced before the file itself
// is touched. After a crash it is read up to where it was cut, what it says is done
// again, and the file is whole. docs/formats.md has it byte by byte.

const (
	journalMagic   = "SSEVJ7\n\x00"
	journalVersion = 1
	// maxJournal is when what stands is made good, and a new journal begun.
	maxJournal = 16 << 20
	// maxRecord bounds what is read back: one sealed segment and its place.
	maxRecord = sealedSize + 64
)

// Kinds of records. The first record of a journal is intent, and no other is.
const (
	recordIntent = 1 // how many segments were promised
	recordWrite  = 2 // a segment as it is to stand in the file
	recordCut    = 3 // the same, and the file ends behind it
)

// journal is the open journal of one node.
type journal struct {
	vol     *Volume
	path    vfs.Path
	file    storage
	aead    cipher.AEAD
	id      id
	end     int64
	counter uint64
}

// record is one of its entries.
type record struct {
	kind  byte
	index int64 // of the segment; in intent, the number of segments promised
	data  []byte
}

// begin opens a journal, unless the node has one or needs none.
func (n *node) begin() error {
	if n.fresh || n.journal != nil {
		return nil
	}
	// What a fresh file's close left to the system is promised from here on.
	if err := n.file.Sync(); err != nil {
		return err
	}
	j, err := n.vol.newJournal(n)
	if err != nil {
		return fmt.Errorf("open the journal that overwriting needs: %w", err)
	}
	n.base = n.diskSegs
	err = j.append(record{kind: recordIntent, index: n.base})
	if err == nil {
		err = n.vol.disk.syncDir(n.vol.journals())
	}
	if err != nil {
		return errors.Join(err, j.remove())
	}
	n.journal = j
	return nil
}

// protect journals those of the sealed segments from first on that were promised.
func (n *node) protect(first int64, sealed []byte) error {
	if err := n.begin(); err != nil || n.journal == nil {
		return err
	}
	var records []record
	for i := first; i < n.base && len(sealed) > 0; i++ {
		one := sealed[:min(len(sealed), sealedSize)]
		sealed = sealed[len(one):]
		records = append(records, record{recordWrite, i, one})
	}
	return n.journal.append(records...)
}

// protectCut journals that the file is to end with this segment.
func (n *node) protectCut(last int64, sealed []byte) error {
	if err := n.begin(); err != nil || n.journal == nil {
		return err
	}
	return n.journal.append(record{recordCut, last, sealed})
}

// newJournal creates an empty journal for n, with a name that no other has.
func (v *Volume) newJournal(n *node) (*journal, error) {
	j := &journal{vol: v}
	if _, err := rand.Read(j.id[:]); err != nil {
		return nil, err
	}
	var err error
	if j.aead, err = derive(n.fileKey, "journal"); err != nil {
		return nil, err
	}
	j.path = v.journals().Reserved(j.id.String())
	if j.file, err = v.disk.open(j.path, vfs.Read|vfs.Write|vfs.Create|vfs.Exclusive); err != nil {
		return nil, err
	}
	raw := encodeJournalHeader(j.id, n.fileID, v.pathOf(n).String())
	if err := writeFull(j.file, raw, 0); err != nil {
		return nil, errors.Join(err, j.remove())
	}
	j.end = int64(len(raw))
	return j, nil
}

func encodeJournalHeader(journalID, fileID id, path string) []byte {
	raw := append([]byte(nil), journalMagic...)
	raw = binary.LittleEndian.AppendUint16(raw, journalVersion)
	raw = binary.LittleEndian.AppendUint16(raw, uint16(len(path)))
	raw = append(raw, journalID[:]...)
	raw = append(raw, fileID[:]...)
	return append(raw, path...)
}

// append writes records and waits until they are on the disk.
func (j *journal) append(records ...record) error {
	if len(records) == 0 {
		return nil
	}
	var raw []byte
	counter := j.counter
	for _, r := range records {
		body := append([]byte{r.kind}, binary.LittleEndian.AppendUint64(nil, uint64(r.index))...)
		body = append(body, r.data...)
		raw = binary.LittleEndian.AppendUint32(raw, uint32(len(body)+overhead))
		raw = j.aead.Seal(raw, nil, body, j.place(counter))
		counter++
	}
	if err := writeFull(j.file, raw, j.end); err != nil {
		return fmt.Errorf("write the journal that overwriting needs: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("sync the journal that overwriting needs: %w", err)
	}
	j.end += int64(len(raw))
	j.counter = counter
	return nil
}

// place binds a record to its journal and its number.
func (j *journal) place(counter uint64) []byte {
	return binary.LittleEndian.AppendUint64(append([]byte(nil), j.id[:]...), counter)
}

// remove takes the journal away for good: one that came back after a power cut would
// undo what was written since.
func (j *journal) remove() error {
	closeErr := j.file.Close()
	if err := j.vol.disk.remove(j.path); err != nil {
		return errors.Join(closeErr, err)
	}
	return errors.Join(closeErr, j.vol.disk.syncDir(j.vol.journals()))
}

// journalHeader is what a journal says without a key.
type journalHeader struct {
	journalID, fileID id
	path              string
	length            int64
}

// errTorn says that a journal was cut before it said anything.
var errTorn = errors.New("journal was cut before its first record")

func readJournalHeader(file io.ReaderAt) (journalHeader, error) {
	const fixed = len(journalMagic) + 4 + 2*idSize
	raw := make([]byte, fixed+vfs.MaxPath+1)
	got, err := file.ReadAt(raw, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return journalHeader{}, err
	}
	return parseJournalHeader(raw[:got])
}

func parseJournalHeader(raw []byte) (journalHeader, error) {
	const fixed = len(journalMagic) + 4 + 2*idSize
	var h journalHeader
	if len(raw) < fixed || !bytes.HasPrefix(raw, []byte(journalMagic)) {
		return h, errTorn
	}
	at := len(journalMagic)
	if v := binary.LittleEndian.Uint16(raw[at:]); v != journalVersion {
		return h, fmt.Errorf("journal of version %d, which this release does not read", v)
	}
	length := int(binary.LittleEndian.Uint16(raw[at+2:]))
	if len(raw) < fixed+length {
		return h, errTorn
	}
	copy(h.journalID[:], raw[at+4:])
	copy(h.fileID[:], raw[at+4+idSize:])
	h.path = string(raw[fixed : fixed+length])
	h.length = int64(fixed + length)
	return h, nil
}

// next reads the record at the journal's end, and goes behind it. ok is false where the
// journal was cut, or ends.
func (j *journal) next() (r record, ok bool, err error) {
	var prefix [4]byte
	if got, err := j.file.ReadAt(prefix[:], j.end); got < len(prefix) {
		return r, false, unlessEOF(err)
	}
	length := binary.LittleEndian.Uint32(prefix[:])
	if length < overhead+9 || length > maxRecord {
		return r, false, nil
	}
	sealed := make([]byte, length)
	if got, err := j.file.ReadAt(sealed, j.end+4); got < len(sealed) {
		return r, false, unlessEOF(err)
	}
	body, err := j.aead.Open(nil, nil, sealed, j.place(j.counter))
	if err != nil {
		return r, false, nil //nolint:nilerr // cut in the middle of it
	}
	r = record{body[0], int64(binary.LittleEndian.Uint64(body[1:])), body[9:]}
	j.end += int64(4 + length)
	j.counter++
	return r, true, nil
}

func unlessEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
