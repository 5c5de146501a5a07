package web

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// code is a QR code as the path of an SVG: squares of one unit, with a quiet zone.
type code struct {
	Size int
	Path string
}

// quietZone is what a QR code needs around it, in squares.
const quietZone = 4

// qrOf is the code of a text; nil if the text is too long for one.
func qrOf(text string) *code {
	c, err := qr.Encode(text, qr.M)
	if err != nil {
		return nil
	}
	var path strings.Builder
	for y := range c.Size {
		for x := range c.Size {
			if c.Black(x, y) {
				fmt.Fprintf(&path, "M%d %dh1v1h-1z", x+quietZone, y+quietZone)
			}
		}
	}
	return &code{c.Size + 2*quietZone, path.String()}
}
