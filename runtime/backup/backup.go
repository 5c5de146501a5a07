// Package backup writes and reads the backup archive: one zip file with the server's
// objects and the key ring, in parts whose hashes a manifest tells, and with a seal at
// the end that covers every byte. With a passphrase the zip is wrapped by age. The format
// is described in docs/formats.md.
//
// What it promises: both ways it streams, so memory does not grow with the number of
// users. Reading is all or nothing: the whole archive is verified before the first object
// is handed out, and whoever takes the objects can still give them all back. What is cut,
// changed, from a newer release or hostile is refused with an error that says which.
//
// The package knows no store and no model: objects are a kind and JSON.
package backup

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
)

// Format is the version of the format that is written, and the newest that is read.
const Format = 1

// product is the program that a backup belongs to.
const product = "ss-server"

// Bounds of an archive. They are far above what a server has, and low enough that a
// hostile file is refused before it costs much.
const (
	// maxObject is the longest object in bytes, maxFile the largest file.
	maxObject = 4 << 20
	maxFile   = 1 << 20
	// maxParts is the number of parts; each key of the key ring is one.
	maxParts = 20_000
	// maxTotal is what all parts may unfold to.
	maxTotal = 64 << 30
	// maxHeader and maxManifest bound the two parts that are read whole.
	maxHeader   = 64 << 10
	maxManifest = 8 << 20
	// maxDirectory bounds the zip directory, which the library reads whole.
	maxDirectory = 8 << 20
)

// The ways an archive is refused. Messages carry what and the cure; test with errors.Is.
var (
	// ErrNotBackup: the file is something else, or the end is missing.
	ErrNotBackup = errors.New("not a whole backup of SS Server 7")
	// ErrDamaged: a byte of the archive is not the one that was written.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrNewer: a newer release made the backup.
	ErrNewer = errors.New("the backup is of a newer release")
	// ErrPassphrase: a passphrase is needed, or is not the right one.
	ErrPassphrase = errors.New("passphrase")
	// ErrHostile: the archive breaks a rule that no release of ours would.
	ErrHostile = errors.New("the backup breaks a rule of its format")
)

// Header tells whose backup it is.
type Header struct {
	Format  int       `json:"format"`
	Product string    `json:"product"`
	Version string    `json:"version"` // of the release that made it
	Schema  int       `json:"schema"`  // of the store it came from
	Made    time.Time `json:"made"`
	Node    string    `json:"node,omitempty"`
}

// Object is one object of the store.
type Object struct {
	Kind string
	// JSON is one JSON object. A Sink may keep it only until Put returns.
	JSON []byte
}

// File is a small file beside the store, such as a key of the key ring.
type File struct {
	// Name is FOLDER/NAME, of letters, digits, dots, hyphens and underscores.
	Name    string
	Content []byte
}

// Source is what a backup is made of, all as of one moment.
type Source interface {
	// Objects gives all objects; those of one kind come one after the other, and kinds
	// in the order in which they can be restored.
	Objects(context.Context) iter.Seq2[Object, error]
	// Files gives all files.
	Files(context.Context) iter.Seq2[File, error]
}

// Sink takes what a verified backup holds. After Begin come all files, then all objects
// in the order of the backup, then either Commit or Abort. Nothing may be in force before
// Commit, and after Abort nothing may be left.
type Sink interface {
	Begin(Header) error
	PutFile(File) error
	Put(Object) error
	Commit() error
	Abort() error
}

// Summary is what a backup holds.
type Summary struct {
	Header  Header         `json:"header"`
	Objects map[string]int `json:"objects"` // number of each kind
	Files   int            `json:"files"`
	// Bytes is the size unfolded, SHA256 the seal: the hash of the zip up to it.
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// Encrypted says that a passphrase is needed to read it.
	Encrypted bool `json:"encrypted"`
}

// Total is the number of objects.
func (s Summary) Total() (n int) {
	for _, m := range s.Objects {
		n += m
	}
	return n
}

// The names of the parts.
const (
	headerPart    = "backup.json"
	manifestPart  = "manifest.json"
	objectsFolder = "objects/"
	objectsSuffix = ".jsonl"
	filesFolder   = "files/"
)

// part is what the manifest tells of one part of the archive.
type part struct {
	Name    string `json:"name"`
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"`
	Objects int    `json:"objects,omitempty"`
}

// manifest is the last part: it names all others.
type manifest struct {
	Parts []part `json:"parts"`
}

// kindOf is the kind whose objects a part holds, or "".
func kindOf(name string) string {
	kind, ok := strings.CutPrefix(name, objectsFolder)
	if kind, ok = cutSuffix(kind, objectsSuffix, ok); !ok || checkKind(kind) != nil {
		return ""
	}
	return kind
}

// fileOf is the name of the file that a part holds, or "".
func fileOf(name string) string {
	file, ok := strings.CutPrefix(name, filesFolder)
	if !ok || checkFileName(file) != nil {
		return ""
	}
	return file
}

func cutSuffix(s, suffix string, ok bool) (string, bool) {
	if !ok {
		return "", false
	}
	return strings.CutSuffix(s, suffix)
}

func checkKind(kind string) error {
	if kind == "" || len(kind) > 32 || strings.Trim(kind, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return fmt.Errorf("%q is no kind of objects", kind)
	}
	return nil
}

// checkFileName allows FOLDER/NAME with names that mean the same on every system.
func checkFileName(name string) error {
	folder, base, ok := strings.Cut(name, "/")
	if !ok || len(name) > 160 || !plainName(folder) || !plainName(base) {
		return fmt.Errorf("%q is no name of a file in a backup", name)
	}
	return nil
}

func plainName(s string) bool {
	return s != "" && s[0] != '.' && s[len(s)-1] != '.' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}
