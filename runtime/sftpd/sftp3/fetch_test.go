package sftp3_test

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"testing"

	"ss-setup/runtime/sftpd/sftp3"
	"ss-setup/runtime/sftpd/sftpdtest"
	"ss-setup/runtime/vfs"
)

const large = 261120

// burst sends many requests at once, as clients do that keep the line busy.
func (r raw) burst(requests ...[]byte) {
	r.t.Helper()
	go func() { _, _ = r.Write(slices.Concat(requests...)) }()
}

// data is the answer to a READ.
func (r raw) data(id uint32) []byte {
	r.t.Helper()
	kind, body := r.receive()
	if kind != 103 || binary.BigEndian.Uint32(body) != id {
		r.t.Fatalf("no data for request %d but a packet of type %d for %d", id, kind, binary.BigEndian.Uint32(body))
	}
	return body[8:]
}

func readAhead() sftp3.Options { return sftp3.Options{Buffers: sftp3.NewBuffers(8 << 20)} }

func TestReadsThatAreAskedForInABurstAreAnsweredInOrderAndWhole(t *testing.T) {
	s := serve(t, readAhead())
	text := make([]byte, 10*large)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(text)
	writeFile(t, filepath.Join(s.dir, "f"), string(text))
	r := s.raw(t)
	h := r.open("f", read)
	var requests [][]byte
	for i := range uint32(10) {
		requests = append(requests, packet(5, i, h, uint64(i)*large, uint32(large)))
	}
	requests = append(requests, packet(5, uint32(10), h, uint64(len(text)), uint32(large)), packet(4, uint32(11), h))
	r.burst(requests...)
	for i := range uint32(10) {
		if !bytes.Equal(r.data(i), text[i*large:(i+1)*large]) {
			t.Fatalf("the data of request %d are others", i)
		}
	}
	if kind, body := r.receive(); kind != 101 || binary.BigEndian.Uint32(body[4:]) != 1 {
		t.Errorf("a READ at the end: type %d, want the status EOF", kind)
	}
	if kind, body := r.receive(); kind != 101 || binary.BigEndian.Uint32(body[4:]) != ok {
		t.Errorf("CLOSE behind it: type %d", kind)
	}
}

func TestAReadSeesTheWriteThatWasAskedForBeforeIt(t *testing.T) {
	s := serve(t, readAhead())
	writeFile(t, filepath.Join(s.dir, "f"), string(bytes.Repeat([]byte("a"), 2*large)))
	r := s.raw(t)
	h := r.open("f", read|write)
	whole := func(id uint32) []byte { return packet(5, id, h, uint64(large), uint32(large)) }
	r.burst(whole(1), packet(6, uint32(2), h, uint64(large), "b"), whole(3), whole(4))
	if got := r.data(1)[0]; got != 'a' {
		t.Errorf("before the write it reads %q", got)
	}
	if kind, _ := r.receive(); kind != 101 {
		t.Fatalf("WRITE: type %d", kind)
	}
	for id := uint32(3); id < 5; id++ {
		if got := r.data(id)[0]; got != 'b' {
			t.Errorf("after the write request %d reads %q", id, got)
		}
	}
}

// broken has files that cannot be read without a panic.
type broken struct{ vfs.FS }

func (b broken) Open(name vfs.Path, flag vfs.Flag, mode fs.FileMode) (vfs.File, error) {
	f, err := b.FS.Open(name, flag, mode)
	return brokenFile{f}, err
}

type brokenFile struct{ vfs.File }

func (b brokenFile) ReadAt(p []byte, off int64) (int, error) {
	if off > 0 {
		panic("a fault of the storage")
	}
	return b.File.ReadAt(p, off)
}

func TestAFaultDuringAReadEndsItsSessionAndKeepsNoBuffer(t *testing.T) {
	for name, offsets := range map[string][]uint64{"at once": {large}, "read ahead": {0, large}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, "f"), string(make([]byte, 3*large)))
			tree, err := sftpdtest.NewTree(dir, false)
			if err != nil {
				t.Fatal(err)
			}
			o := readAhead()
			client, server := net.Pipe()
			fault := make(chan any, 1)
			go func() {
				defer server.Close()
				defer func() { fault <- recover() }()
				_ = sftp3.New(broken{tree}, o).Serve(t.Context(), server)
			}()
			r := (&served{conn: client}).raw(t)
			h := r.open("f", read)
			var requests [][]byte
			for i, offset := range offsets {
				requests = append(requests, packet(5, uint32(i), h, offset, uint32(large)))
			}
			r.burst(requests...)
			if len(offsets) > 1 {
				r.data(0)
			}
			if got := <-fault; got != "a fault of the storage" {
				t.Errorf("the session ended with %v", got)
			}
			if left, of := sftp3.LargeLeft(o.Buffers); left != of {
				t.Errorf("%d of %d large buffers are left", left, of)
			}
		})
	}
}

func TestAClientThatLeavesDuringLargeReadsLeavesNoBufferBehind(t *testing.T) {
	o := readAhead()
	for range 5 {
		s := serve(t, o)
		writeFile(t, filepath.Join(s.dir, "f"), string(make([]byte, 4*large)))
		r := s.raw(t)
		h := r.open("f", read)
		var requests [][]byte
		for i := range uint32(4) {
			requests = append(requests, packet(5, i, h, uint64(i)*large, uint32(large)))
		}
		r.burst(requests...)
		r.data(0)
		_ = r.Close()
		<-s.done
	}
	if left, of := sftp3.LargeLeft(o.Buffers); left != of {
		t.Errorf("%d of %d large buffers are left", left, of)
	}
}
