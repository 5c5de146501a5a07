package bundle

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"testing"
)

func FuzzParse(f *testing.F) {
	f.Add(golden(f))
	f.Add([]byte(`{"schema": 2}`))
	f.Add([]byte(`{"schema": 1, "files": [{"path": "../x"}]}`))
	f.Add([]byte(`[[[[`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Parse(raw)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewer) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		for _, file := range m.Files {
			if !fs.ValidPath(file.Path) || file.Size < 0 || file.Perm()&^0o755 != 0 {
				t.Fatalf("accepted %+v", file)
			}
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(again); err != nil {
			t.Fatalf("written again it is refused: %v", err)
		}
	})
}

// FuzzArchive feeds any bytes as the archive of a fixed release: either exactly
// that release comes out, or an error that blames the package.
func FuzzArchive(f *testing.F) {
	stated := []content{{"bin/a", "0755", []byte("program")}, {"b", "0644", nil}}
	f.Add(pack(f, stated, nil))
	for _, c := range hostile {
		f.Add(pack(f, stated, func(w *tar.Writer) {
			header := c.header
			if header.Typeflag == 0 {
				header.Typeflag = tar.TypeReg
			}
			put(f, w, &header, nil)
		}))
	}
	f.Fuzz(func(t *testing.T, archive []byte) {
		dst := newMemory()
		err := unpackTar(t.Context(), bytes.NewReader(archive), filesOf(stated), true, dst, nil, nil)
		if err == nil {
			wantContents(t, dst, stated)
			return
		}
		if !errors.Is(err, ErrDamaged) {
			t.Fatalf("untyped error %v", err)
		}
		if dst.written > 7 {
			t.Fatalf("%d bytes were written", dst.written)
		}
	})
}

// FuzzPayload feeds any bytes as the compressed payload.
func FuzzPayload(f *testing.F) {
	stated := []content{{"bin/a", "0755", []byte("program")}, {"b", "0644", nil}}
	f.Add(compress(f, pack(f, stated, nil)))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd})
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) == 0 {
			return // a manifest cannot state an empty payload
		}
		dst := newMemory()
		err := openWritten(t, manifestOf(stated, payload), payload).Unpack(t.Context(), dst, nil)
		if err == nil {
			wantContents(t, dst, stated)
			return
		}
		if !errors.Is(err, ErrDamaged) {
			t.Fatalf("untyped error %v", err)
		}
	})
}
