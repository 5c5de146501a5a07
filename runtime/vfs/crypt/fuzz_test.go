package crypt

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ss-setup/runtime/vfs"
)

// FuzzFile says that nothing that is done to a file makes a reader panic, or take content
// that no server wrote.
func FuzzFile(f *testing.F) {
	var contents [][]byte
	for _, size := range []int{0, 1, 300} {
		content := pattern(size, size)
		contents = append(contents, content)
		f.Add(sealedFile(f, testKey, content))
	}
	f.Add([]byte(magic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if got, err := readSealed(t, testKey, raw); err == nil {
			known := false
			for _, c := range contents {
				known = known || bytes.Equal(c, got)
			}
			if !known {
				t.Fatalf("%d bytes were taken that nobody wrote", len(got))
			}
		}
		d := newMemDisk(rand.New(rand.NewPCG(1, 1)))
		path := memPath(t, "/f")
		d.names[path] = &memFile{data: bytes.Clone(raw)}
		v, err := newVolume(d, quiet, testKey)
		must(t, err)
		file, err := openMemFor(v, d, path, vfs.Read|vfs.Write, true)
		if err != nil {
			return
		}
		if _, err := file.WriteAt([]byte("x"), file.node.size); err == nil {
			must(t, file.Close())
		}
	})
}

// FuzzJournal says the same of journals: a file is what it was, or as a journal of ours
// says.
func FuzzJournal(f *testing.F) {
	content, path := pattern(1, 2*segmentSize+5), memPath(f, "/f")
	d := newMemDisk(rand.New(rand.NewPCG(1, 1)))
	d.names[path] = &memFile{data: sealedFile(f, testKey, content)}
	start := d.settle()
	v, err := newVolume(start, quiet, testKey)
	must(f, err)
	file, err := openMem(v, start, path, vfs.Write)
	must(f, err)
	_, err = file.WriteAt([]byte("new"), 5)
	must(f, err)
	size := int64(segmentSize + 9)
	must(f, file.SetStat(vfs.Change{Size: &size}))
	raw := start.names[file.node.journal.path].data
	f.Add(raw)
	f.Add(raw[:len(raw)/2])
	f.Add(raw[:60])
	before := d.names[path].data
	f.Fuzz(func(t *testing.T, raw []byte) {
		d := newMemDisk(rand.New(rand.NewPCG(1, 1)))
		d.names[path] = &memFile{data: bytes.Clone(before)}
		v := memPath(t, "/").Reserved(vfs.Private, "journals", "0")
		d.names[v] = &memFile{data: bytes.Clone(raw)}
		vol, err := newVolume(d, quiet, testKey)
		must(t, err)
		file, err := openMem(vol, d, path, vfs.Read)
		if err != nil {
			t.Fatalf("a journal that is not ours closes the file: %v", err)
		}
		got, err := readAll(file)
		must(t, err)
		// The write waited in memory when the file was shortened.
		if !bytes.Equal(got, content) && !bytes.Equal(got, content[:size]) {
			t.Fatalf("%d bytes are left that nobody wrote", len(got))
		}
	})
}

// FuzzWrapped says that a file of a key never costs more than a key may.
func FuzzWrapped(f *testing.F) {
	byMaster, err := WrapByMaster(testKey, testKey)
	must(f, err)
	byPhrase, err := WrapByPassphrase(testKey, "a passphrase")
	must(f, err)
	for _, w := range []Wrapped{byMaster, byPhrase} {
		raw, err := w.Encode()
		must(f, err)
		f.Add(raw)
	}
	f.Add([]byte(`{"format":"ss-server-vfs-key","version":1,"argon2id":{"memory_kib":4294967295}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		w, err := ParseWrapped(raw)
		if err != nil {
			return
		}
		if c := w.Argon2; c != nil && (c.Memory > maxMemory || c.Time > maxTime || c.Threads > maxThreads) {
			t.Fatalf("parameters %+v", *c)
		}
		if _, err := w.UnwrapByMaster(testKey); err == nil && w.Master != testKey.ID() {
			t.Fatal("unwrapped by another key")
		}
	})
}
