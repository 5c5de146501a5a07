package crypt_test

import (
	"bytes"
	"fmt"
	"testing"

	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/crypt"
	"ss-setup/runtime/vfs/vfstest"
)

func TestAClientWithManyFilesOpenHoldsLittleMemory(t *testing.T) {
	f := open(t, t.TempDir(), newKey(t))
	const files, most = 700, 1024
	before := crypt.Held() // by files that the crashes of other tests have left
	content := bytes.Repeat([]byte("0123456789"), 7_000)
	var all []vfs.File
	for i := range files {
		file, err := f.Open(vfstest.Path(t, fmt.Sprintf("/f%d", i)), vfs.Read|vfs.Write|vfs.Create, 0)
		must(t, err)
		all = append(all, file)
		// Two segments, neither of them complete.
		for _, part := range [][2]int{{0, 30_000}, {66_000, 70_000}} {
			_, err = file.WriteAt(content[part[0]:part[1]], int64(part[0]))
			must(t, err)
		}
	}
	if n := crypt.Held(); n > most+2 {
		t.Errorf("%d buffers are held by %d files that wait", n, files)
	}
	for _, file := range all {
		_, err := file.WriteAt(content[30_000:66_000], 30_000)
		must(t, err)
	}
	one := make([]byte, 100)
	for _, file := range all {
		_, err := file.ReadAt(one, 10)
		must(t, err)
	}
	if n := crypt.Held(); n > most+2 {
		t.Errorf("%d buffers are held by %d files that were read", n, files)
	}
	for i, file := range all {
		must(t, file.Close())
		if i%100 == 0 || i == files-1 {
			if got := vfstest.Get(t, f, fmt.Sprintf("/f%d", i)); !bytes.Equal(got, content) {
				t.Errorf("file %d differs", i)
			}
		}
	}
	if n := crypt.Held(); n != before {
		t.Errorf("%d buffers are held by nobody", n-before)
	}
}
