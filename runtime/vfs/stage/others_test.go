package stage_test

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/vfstest"
)

// TestASessionThatBreaksOffTakesNothingThatOthersAdded: sshfs keeps files open for hours.
func TestASessionThatBreaksOffTakesNothingThatOthersAdded(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		vfstest.Put(t, s.alice, "/log", []byte("one "))
		idle, err := s.alice.Open(vfstest.Path(t, "/log"), vfs.Write, 0)
		must(t, err)
		other, err := s.bob.Open(vfstest.Path(t, "/log"), vfs.Write, 0)
		must(t, err)
		_, err = other.WriteAt([]byte("two"), 4)
		must(t, errors.Join(err, other.Close(), idle.Abort()))
		if got := vfstest.Get(t, s.bob, "/log"); string(got) != "one two" {
			t.Errorf("left of the file: %q", got)
		}
	})
}

// TestWhatAFullDiskLeavesIsAsLongAsItCanBeRead: a client resumes where the size says.
func TestWhatAFullDiskLeavesIsAsLongAsItCanBeRead(t *testing.T) {
	s := start(t, true)
	const segment = 64 << 10
	content := bytes.Repeat([]byte("0123456789abcdef"), 10*segment/16)
	file := begin(t, s.alice, "/f", content[:2*segment])
	// What the disk took of a write that it then refused lies behind the end.
	left := onDisk(t, s.dir)
	raw, err := os.OpenFile(s.dir+"/"+left[0], os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	_, err = raw.Write(make([]byte, segment+500))
	must(t, errors.Join(err, raw.Close()))
	up, ok := file.(interface{ Failed(error) })
	if !ok {
		t.Fatal("no way to fail")
	}
	up.Failed(vfs.ErrNoSpace)
	if err := file.Close(); !errors.Is(err, vfs.ErrNoSpace) {
		t.Errorf("closed: %v", err)
	}
	info, err := s.alice.Stat(vfstest.Path(t, "/f"))
	must(t, err)
	got := vfstest.Get(t, s.alice, "/f")
	if info.Size != int64(len(got)) || !bytes.Equal(got, content[:len(got)]) {
		t.Errorf("size %d, %d bytes can be read", info.Size, len(got))
	}
	again, err := s.alice.Open(vfstest.Path(t, "/f"), vfs.Write, 0)
	must(t, err)
	_, err = again.WriteAt(content[info.Size:], info.Size)
	must(t, errors.Join(err, again.Close()))
	if got := vfstest.Get(t, s.bob, "/f"); !bytes.Equal(got, content) {
		t.Error("the resumed file differs")
	}
}
