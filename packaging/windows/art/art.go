// Package art draws the pictures of the wizard: its icon and the bitmaps beside its
// pages. They are drawn when the wizard is built, by whole numbers alone, so that every
// machine draws the same bytes.
package art

import (
	"image"
	"image/color"
)

// The sizes of the bitmaps in NSIS's own windows, in pixels.
const (
	HeaderWidth, HeaderHeight = 150, 57
	SideWidth, SideHeight     = 164, 314
)

// IconSizes are the sizes that Windows asks an icon for.
var IconSizes = []int{16, 20, 24, 32, 40, 48, 64, 256}

var (
	dark  = color.NRGBA{0x10, 0x2a, 0x4c, 0xff}
	blue  = color.NRGBA{0x1f, 0x6f, 0xb5, 0xff}
	light = color.NRGBA{0x3f, 0xb8, 0xaf, 0xff}
	white = color.NRGBA{0xff, 0xff, 0xff, 0xff}
)

// grid is how many parts a pixel has in each direction, to smooth edges.
const grid = 8

// unit is the width and height that shapes are described in.
const unit = 1 << 12

// shape tells whether a point of the unit square is inside.
type shape func(x, y int) bool

// tile is a square with round corners.
func tile(x, y int) bool {
	const edge, radius = unit / 32, unit * 7 / 32
	if x < edge || y < edge || x > unit-edge || y > unit-edge {
		return false
	}
	dx, dy := beyond(x, edge+radius, unit-edge-radius), beyond(y, edge+radius, unit-edge-radius)
	return dx*dx+dy*dy <= radius*radius
}

// beyond is how far n lies outside of what is between low and high.
func beyond(n, low, high int) int { return max(low-n, n-high, 0) }

// arrows are one that goes up and one that goes down: files that come and go.
func arrows(x, y int) bool {
	return arrow(x-unit*11/32, y-unit/2) || arrow(unit*21/32-x, unit/2-y)
}

// arrow points up; its middle is at zero.
func arrow(x, y int) bool {
	const half, head, shaft, width = unit * 9 / 32, unit * 8 / 32, unit * 3 / 64, unit * 9 / 64
	if y < -half || y > half {
		return false
	}
	if y < -half+head { // the head widens by width over its height
		return abs(x)*head <= (y+half)*width
	}
	return abs(x) <= shaft
}

func abs(n int) int { return max(n, -n) }

// between is a colour on the way from one to another, at part of whole.
func between(from, to color.NRGBA, part, whole int) color.NRGBA {
	part = min(max(part, 0), whole)
	mix := func(a, b uint8) uint8 { return uint8((int(a)*(whole-part) + int(b)*part) / whole) }
	return color.NRGBA{mix(from.R, to.R), mix(from.G, to.G), mix(from.B, to.B), mix(from.A, to.A)}
}

// cover is how much of a pixel lies in a shape, of grid*grid. The shape fills a square
// of size pixels at left, top.
func cover(s shape, px, py, left, top, size int) int {
	n := 0
	for j := range grid {
		for i := range grid {
			x := ((px-left)*grid*2 + 2*i + 1) * unit / (size * grid * 2)
			y := ((py-top)*grid*2 + 2*j + 1) * unit / (size * grid * 2)
			if x >= 0 && y >= 0 && x < unit && y < unit && s(x, y) {
				n++
			}
		}
	}
	return n
}

// paint puts a colour over a picture where a shape covers it.
func paint(img *image.NRGBA, s shape, left, top, size int, fill func(x, y int) color.NRGBA) {
	area := image.Rect(left, top, left+size, top+size).Intersect(img.Rect)
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			n := cover(s, x, y, left, top, size)
			if n == 0 {
				continue
			}
			img.SetNRGBA(x, y, over(img.NRGBAAt(x, y), fill(x, y), n))
		}
	}
}

// over lays n parts of a colour over what is there.
func over(under, on color.NRGBA, n int) color.NRGBA {
	const whole = grid * grid
	if under.A == 0 {
		on.A = uint8(int(on.A) * n / whole)
		return on
	}
	mixed := between(under, on, n*int(on.A), whole*0xff)
	mixed.A = uint8(max(int(under.A), int(on.A)*n/whole))
	return mixed
}

func plain(c color.NRGBA) func(x, y int) color.NRGBA {
	return func(int, int) color.NRGBA { return c }
}

// logo draws the sign of the product in a square of size pixels.
func logo(img *image.NRGBA, left, top, size int) {
	paint(img, tile, left, top, size, func(x, y int) color.NRGBA {
		return between(light, blue, x-left+y-top, 2*size)
	})
	paint(img, arrows, left, top, size, plain(white))
}

// Icon draws the icon in one size.
func Icon(size int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, size, size))
	logo(img, 0, 0, size)
	return img
}

// Header is the bitmap at the top of the pages: the sign on white, at the right.
func Header() *image.NRGBA {
	img := filled(HeaderWidth, HeaderHeight, func(int, int) color.NRGBA { return white })
	const size = 41
	logo(img, HeaderWidth-size-8, (HeaderHeight-size)/2, size)
	return img
}

// Side is the bitmap beside the welcome: the sign on deep blue, above waves.
func Side() *image.NRGBA {
	img := filled(SideWidth, SideHeight, func(_, y int) color.NRGBA { return between(dark, blue, y, SideHeight*5/4) })
	veil := white
	for i, alpha := range []uint8{18, 26, 34} {
		veil.A = alpha
		middle, size := SideWidth*(2+3*i)/8, SideWidth*5/2
		paint(img, disc, middle-size/2, SideHeight-70+22*i, size, plain(veil))
	}
	const size = 88
	logo(img, (SideWidth-size)/2, 56, size)
	return img
}

// disc fills its square.
func disc(x, y int) bool {
	dx, dy := x-unit/2, y-unit/2
	return dx*dx+dy*dy <= unit*unit/4
}

func filled(width, height int, at func(x, y int) color.NRGBA) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.SetNRGBA(x, y, at(x, y))
		}
	}
	return img
}
