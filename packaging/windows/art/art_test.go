package art

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"image/png"
	"testing"
)

func TestAnIconHasEverySizeAndEachPictureIsWhereItSays(t *testing.T) {
	var out bytes.Buffer
	if err := WriteIcon(&out); err != nil {
		t.Fatal(err)
	}
	raw, le := out.Bytes(), binary.LittleEndian
	if le.Uint16(raw[2:]) != 1 || int(le.Uint16(raw[4:])) != len(IconSizes) {
		t.Fatalf("it begins with % x", raw[:6])
	}
	end := 6 + 16*len(IconSizes)
	for i, size := range IconSizes {
		entry := raw[6+16*i:]
		if entry[0] != byte(size) || entry[1] != byte(size) {
			t.Errorf("picture %d says %d by %d, not %d", i, entry[0], entry[1], size)
		}
		length, at := int(le.Uint32(entry[8:])), int(le.Uint32(entry[12:]))
		if at != end {
			t.Fatalf("picture %d lies at %d, not at %d", i, at, end)
		}
		end = at + length
		picture := raw[at:end]
		if size == 256 {
			if img, err := png.Decode(bytes.NewReader(picture)); err != nil || img.Bounds().Dx() != size {
				t.Errorf("the large picture: %v", err)
			}
			continue
		}
		// The height counts the picture and its mask.
		if int(le.Uint32(picture[4:])) != size || int(le.Uint32(picture[8:])) != 2*size {
			t.Errorf("picture %d: its header is % x", i, picture[:16])
		}
	}
	if end != len(raw) {
		t.Errorf("%d bytes, of which %d are pictures", len(raw), end)
	}
}

// The wizard is the same bytes on every machine, so its pictures must be.
func TestPicturesAreTheSameBytesOnEveryMachine(t *testing.T) {
	var icon, header, side bytes.Buffer
	for _, err := range []error{WriteIcon(&icon), WriteBitmap(&header, Header()), WriteBitmap(&side, Side())} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if header.Len() != 54+452*HeaderHeight || side.Len() != 54+492*SideHeight {
		t.Errorf("the bitmaps have %d and %d bytes", header.Len(), side.Len())
	}
	sum := func(b bytes.Buffer) [32]byte { return sha256.Sum256(b.Bytes()) }
	var again bytes.Buffer
	if err := WriteBitmap(&again, Side()); err != nil || sum(again) != sum(side) {
		t.Errorf("a second drawing differs: %v", err)
	}
	for x, y := range map[int]int{1: 1, SideWidth - 1: SideHeight - 1} {
		if c := Side().NRGBAAt(x, y); c.A != 0xff {
			t.Errorf("there is a hole at %d, %d: %v", x, y, c)
		}
	}
}
