package art

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/png"
	"io"
)

// pngFrom is the size from which Windows reads a picture in an icon as PNG.
const pngFrom = 256

// WriteIcon writes an icon with all of IconSizes.
func WriteIcon(w io.Writer) error {
	var pictures [][]byte
	for _, size := range IconSizes {
		picture, err := iconPicture(Icon(size))
		if err != nil {
			return err
		}
		pictures = append(pictures, picture)
	}
	const header, entry = 6, 16
	var out bytes.Buffer
	put(&out, []uint16{0, 1, uint16(len(pictures))})
	at := header + entry*len(pictures)
	for i, picture := range pictures {
		side := byte(IconSizes[i]) // 256 is written as 0
		out.Write([]byte{side, side, 0, 0})
		put(&out, []uint16{1, 32}, []uint32{uint32(len(picture)), uint32(at)})
		at += len(picture)
	}
	for _, picture := range pictures {
		out.Write(picture)
	}
	_, err := w.Write(out.Bytes())
	return err
}

// iconPicture is one picture of an icon: a PNG when it is large, else the lines of a
// bitmap from the lowest up, and a mask that nobody reads where there is transparency.
func iconPicture(img *image.NRGBA) ([]byte, error) {
	var out bytes.Buffer
	width, height := img.Rect.Dx(), img.Rect.Dy()
	if width >= pngFrom {
		err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, img)
		return out.Bytes(), err
	}
	mask := (width + 31) / 32 * 4 * height
	put(&out, []uint32{40, uint32(width), uint32(2 * height)}, []uint16{1, 32}, []uint32{0, uint32(4*width*height + mask), 0, 0, 0, 0})
	for y := height - 1; y >= 0; y-- {
		for x := range width {
			c := img.NRGBAAt(x, y)
			out.Write([]byte{c.B, c.G, c.R, c.A})
		}
	}
	out.Write(make([]byte, mask))
	return out.Bytes(), nil
}

// WriteBitmap writes a picture as Windows draws it without transparency.
func WriteBitmap(w io.Writer, img *image.NRGBA) error {
	width, height := img.Rect.Dx(), img.Rect.Dy()
	line := (3*width + 3) / 4 * 4
	const headers = 14 + 40
	var out bytes.Buffer
	out.WriteString("BM")
	put(&out, []uint32{uint32(headers + line*height), 0, headers, 40, uint32(width), uint32(height)},
		[]uint16{1, 24}, []uint32{0, uint32(line * height), 0, 0, 0, 0})
	for y := height - 1; y >= 0; y-- {
		pixels := make([]byte, 0, line)
		for x := range width {
			c := img.NRGBAAt(x, y)
			pixels = append(pixels, c.B, c.G, c.R)
		}
		out.Write(pixels[:line])
	}
	_, err := w.Write(out.Bytes())
	return err
}

// put writes numbers, the lowest byte first.
func put(out *bytes.Buffer, numbers ...any) {
	for _, n := range numbers {
		_ = binary.Write(out, binary.LittleEndian, n) // a buffer takes everything
	}
}
