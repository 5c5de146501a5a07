package delta

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// program is something like a program: not random, not all the same.
func program(seed uint64, size int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	words := make([][]byte, 512)
	for i := range words {
		words[i] = make([]byte, 3+r.IntN(12))
		for j := range words[i] {
			words[i][j] = byte(r.Uint32())
		}
	}
	var out []byte
	for len(out) < size {
		out = append(out, words[r.IntN(len(words))]...)
	}
	return out[:size]
}

// changed is data with a few bytes inserted and a few others replaced.
func changed(data []byte) []byte {
	out := append(bytes.Clone(data[:len(data)/3]), []byte("a new function, and what comes after it moves")...)
	out = append(out, data[len(data)/3:]...)
	for i := 1000; i < len(out); i += len(out) / 50 {
		out[i] ^= 0x5a
	}
	return out
}

func TestASmallChangeIsASmallPatch(t *testing.T) {
	old := program(1, 1<<20)
	fresh := changed(old)
	patch, err := Make(old, fresh)
	if err != nil {
		t.Fatal(err)
	}
	if len(patch) > len(fresh)/100 {
		t.Errorf("the patch has %d bytes for a file of %d", len(patch), len(fresh))
	}
	got, err := Apply(old, patch, int64(len(fresh)))
	if err != nil || !bytes.Equal(got, fresh) {
		t.Fatalf("applied it gives something else: %v", err)
	}
}

func TestAPatchOfAnotherFileNeverGivesTheRightOne(t *testing.T) {
	old, fresh := program(1, 300<<10), changed(program(1, 300<<10))
	patch, err := Make(old, fresh)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Apply(program(2, 300<<10), patch, int64(len(fresh))); err == nil && bytes.Equal(got, fresh) {
		t.Error("it did")
	}
	if _, err := Apply(old, patch, int64(len(fresh))-1); !errors.Is(err, ErrUnfit) {
		t.Errorf("a file that is too large: %v", err)
	}
	if _, err := Apply(old, patch[:len(patch)/2], int64(len(fresh))); !errors.Is(err, ErrUnfit) {
		t.Errorf("half a patch: %v", err)
	}
	if _, err := Apply(nil, patch, 1); !errors.Is(err, ErrUnfit) {
		t.Errorf("no old file: %v", err)
	}
}

func TestAPayloadIsMadeAgainByteForByte(t *testing.T) {
	before, after := program(1, 300<<10), changed(program(1, 300<<10))
	for _, level := range Levels {
		old, err := ClosePayload(before, zstd.SpeedDefault)
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := ClosePayload(after, level)
		if err != nil {
			t.Fatal(err)
		}
		p, err := MakePayload(old, fresh)
		if err != nil {
			t.Fatalf("%s: %v", level, err)
		}
		got, err := p.Apply(bytes.NewReader(old))
		if err != nil || !bytes.Equal(got, fresh) {
			t.Errorf("%s: it is another payload: %v", level, err)
		}
	}
}

func TestAPayloadOfAnotherCompressorGetsNoPatch(t *testing.T) {
	old, err := ClosePayload(program(1, 300<<10), zstd.SpeedDefault)
	if err != nil {
		t.Fatal(err)
	}
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := MakePayload(old, e.EncodeAll(changed(program(1, 300<<10)), nil)); !errors.Is(err, ErrUnfit) {
		t.Errorf("error is %v", err)
	}
}

func FuzzApply(f *testing.F) {
	old := program(1, 4096)
	patch, err := Make(old, changed(old))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(patch, int64(len(old)+100))
	f.Add(patch[:20], int64(10))
	f.Add([]byte{}, int64(0))
	if bomb, err := Make(old, make([]byte, 1<<20)); err == nil {
		f.Add(bomb, int64(1000))
	}
	f.Fuzz(func(t *testing.T, patch []byte, size int64) {
		size = min(max(size, 0), 1<<20)
		out, err := Apply(old, patch, size)
		if err == nil && int64(len(out)) > size {
			t.Errorf("%d bytes, at most %d were asked for", len(out), size)
		}
	})
}
