package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"sync"

	"github.com/fxamacker/cbor/v2"
	"go.etcd.io/bbolt"

	"ss-setup/runtime/model"
	"ss-setup/runtime/store"
)

// The buckets. objects, index and activity have one inside for each kind.
var (
	objectsBucket  = []byte("objects")  // SITE 0 ID -> record of an object
	indexBucket    = []byte("index")    // SITE 0 ID -> record of an index entry
	changesBucket  = []byte("changes")  // number, 8 bytes -> record of a change
	deletedBucket  = []byte("deleted")  // number, 8 bytes, of a deletion -> nothing
	activityBucket = []byte("activity") // KIND / SITE 0 ID -> record of an Activity
	engineBucket   = []byte("engine")   // counters
)

// The counters.
var (
	seqCounter     = []byte("seq")     // number of the last change
	horizonCounter = []byte("horizon") // changes up to this one may be missing
	deletedCounter = []byte("deleted") // entries of the bucket deleted
	versionCounter = []byte("index")   // version of the index
)

// countCounter counts the objects of a kind.
func countCounter(k model.Kind) []byte { return []byte("count/" + string(k)) }

// Prepare makes room for objects in an empty store; it is for the store's migrations.
func Prepare(tx *bbolt.Tx) error {
	for _, name := range [][]byte{changesBucket, deletedBucket, activityBucket, engineBucket} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	for _, name := range [][]byte{objectsBucket, indexBucket} {
		b, err := tx.CreateBucketIfNotExists(name)
		if err != nil {
			return err
		}
		for _, k := range model.Kinds() {
			if _, err := b.CreateBucketIfNotExists([]byte(k)); err != nil {
				return err
			}
		}
	}
	return tx.Bucket(engineBucket).Put(versionCounter, number(indexVersion))
}

// bucket is the bucket of a kind within one of all kinds.
func bucket(tx *bbolt.Tx, name []byte, k model.Kind) (*bbolt.Bucket, error) {
	if outer := tx.Bucket(name); outer != nil {
		if b := outer.Bucket([]byte(k)); b != nil {
			return b, nil
		}
	}
	return nil, fmt.Errorf("%w: the store has no room for %s in %q; run ss-setup install --repair", store.ErrCorrupt, k, name)
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func counter(tx *bbolt.Tx, name []byte) uint64 {
	if b := tx.Bucket(engineBucket); b != nil {
		if v := b.Get(name); len(v) == 8 {
			return binary.BigEndian.Uint64(v)
		}
	}
	return 0
}

// Count is how many objects of a kind a store has; it is for who has no engine open.
func Count(tx *bbolt.Tx, kind model.Kind) uint64 { return counter(tx, countCounter(kind)) }

func setCounter(tx *bbolt.Tx, name []byte, n uint64) error {
	return tx.Bucket(engineBucket).Put(name, number(n))
}

func seqOf(tx *bbolt.Tx) uint64 { return counter(tx, seqCounter) }

// rowKey is the key of a row: all objects of a site lie side by side.
func rowKey(k model.Key) []byte {
	out := make([]byte, 0, len(k.Site)+1+len(k.ID))
	out = append(append(out, k.Site...), 0)
	return append(out, k.ID...)
}

func keyOfRow(kind model.Kind, row []byte) model.Key {
	site, id, _ := bytes.Cut(row, []byte{0})
	return model.Key{Kind: kind, Site: string(site), ID: string(id)}
}

// A record begins with a checksum over its row's key and its content: pages of the
// database carry none, and a bit that tipped over in a password's hash must be told.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func pack(row, content []byte) []byte {
	return seal(row, append(make([]byte, 4, 4+len(content)), content...))
}

// seal writes the checksum of a record into its first bytes, which are for that.
func seal(row, record []byte) []byte {
	sum := crc32.Update(crc32.Checksum(row, castagnoli), castagnoli, record[4:])
	binary.BigEndian.PutUint32(record, sum)
	return record
}

func unpack(row, record []byte) ([]byte, error) {
	if len(record) < 4 {
		return nil, fmt.Errorf("%w: the record %q is cut off; restore a backup", store.ErrCorrupt, row)
	}
	content := record[4:]
	if crc32.Update(crc32.Checksum(row, castagnoli), castagnoli, content) != binary.BigEndian.Uint32(record) {
		return nil, fmt.Errorf("%w: the record %q does not have its checksum; restore a backup", store.ErrCorrupt, row)
	}
	return content, nil
}

var (
	encoder = must(cbor.EncOptions{Time: cbor.TimeRFC3339Nano}.UserBufferEncMode())
	decoder = must(cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, MaxArrayElements: 1 << 20}.DecMode())
)

func must[M any](mode M, err error) M {
	if err != nil {
		panic(err) // options that contradict each other: a fault of this file
	}
	return mode
}

// encode is the record of a value in a row.
func encode(row []byte, value any) ([]byte, error) {
	b := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(b)
	b.Reset()
	b.Write(make([]byte, 4))
	if err := encoder.MarshalToBuffer(value, b); err != nil {
		return nil, fmt.Errorf("encode the record %q: %w", row, err)
	}
	return seal(row, bytes.Clone(b.Bytes())), nil
}

// buffers are where records are made: many at once, each a little longer or shorter.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func decode(row, record []byte, into any) error {
	content, err := unpack(row, record)
	if err != nil {
		return err
	}
	if err := decoder.Unmarshal(content, into); err != nil {
		return fmt.Errorf("%w: the record %q: %w; restore a backup", store.ErrCorrupt, row, err)
	}
	return nil
}

// changeRecord is how the log keeps a change.
type changeRecord struct {
	Key string `cbor:"1,keyasint"`
	Op  Op     `cbor:"2,keyasint"`
	By  string `cbor:"3,keyasint"`
	At  int64  `cbor:"4,keyasint"` // Unix, milliseconds
}

// indexRecord is how the store keeps an index entry: text, 0, references. Neither has
// zero bytes.
func packEntry(row []byte, e *entry) []byte {
	var b strings.Builder
	b.WriteString(e.text)
	b.WriteByte(0)
	for i, ref := range e.refs {
		if i > 0 {
			b.WriteByte(fieldEnd)
		}
		b.WriteString(ref.String())
	}
	return pack(row, []byte(b.String()))
}

func unpackEntry(row, record []byte, kind model.Kind) (entry, error) {
	content, err := unpack(row, record)
	if err != nil {
		return entry{}, err
	}
	text, refs, _ := strings.Cut(string(content), "\x00")
	e := entry{key: keyOfRow(kind, row), text: text}
	if refs == "" {
		return e, nil
	}
	for ref := range strings.SplitSeq(refs, string(fieldEnd)) {
		key, err := model.ParseKey(ref)
		if err != nil {
			return entry{}, fmt.Errorf("%w: the record %q: %w", errStaleIndex, row, err)
		}
		e.refs = append(e.refs, key)
	}
	return e, nil
}
