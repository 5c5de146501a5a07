//go:build linux && lab && soak

package clients

import (
	"bytes"
	"io"
	"os"
	"testing"

	"ss-setup/runtime/sftpd"
	"ss-setup/scripts/lab"
)

// randomSteps is how much is done to a file at random.
const randomSteps = 5000

// More than 32 bits count, and more than one set of keys lasts.
func TestMoreThanFourGibibytesInOneSession(t *testing.T) {
	lab.InstallPackages(t, sftpPackage)
	const size = 4<<30 + 123457
	s := serve(t, sftpd.Config{})
	f, err := os.Create(s.mine("f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mark := []byte("here I am")
	for at := int64(0); at < size; at += 97 << 20 {
		if _, err := f.WriteAt(mark, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	s.sftp("put f f\nget f g\n", "-o", "RekeyLimit=64M")
	for _, name := range []string{s.remote("f"), s.mine("g")} {
		same(t, s.mine("f"), name)
	}
}

// same compares two files a piece at a time.
func same(t *testing.T, a, b string) {
	t.Helper()
	one, err := os.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	other, err := os.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	left, right := make([]byte, 4<<20), make([]byte, 4<<20)
	for at := int64(0); ; at += int64(len(left)) {
		n, errLeft := io.ReadFull(one, left)
		m, errRight := io.ReadFull(other, right)
		if n != m || !bytes.Equal(left[:n], right[:m]) {
			t.Fatalf("%s differs behind %d", b, at)
		}
		if errLeft != nil || errRight != nil {
			return
		}
	}
}
