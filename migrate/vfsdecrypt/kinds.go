package vfsdecrypt

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"hash/crc32"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// How sure a look at some bytes makes: bits of evidence, each halves the chance that bytes
// of no meaning look so. Modes differ from the second block on and often only there - ECB
// and CBC, CTR and CFB agree on the first -, so that a signature alone decides nothing
// between them, and kinds are looked into as deep as is cheap.
const (
	// sure is what makes one file recognised.
	sure = 22
	// mostOfText bounds what a long text counts behind its beginning.
	mostOfText = 120
	// textLook is how much of a text is looked at, textHead what counts as its beginning.
	textLook = 4 << 10
	textHead = 64
	// guesses is what a signature counts less for there being so many of them.
	guesses = 6
)

// kind is a sort of file that is known by its content.
type kind struct {
	name  string
	at    int
	magic string
	// deeper looks behind the signature and tells how many bits speak for it, negative if
	// something speaks against; complete if all of the file is there.
	deeper func(content []byte, complete bool) int
}

const textKind = "text"

var kinds = []kind{
	{"zip", 0, "PK\x03\x04", zipDeeper},
	{"pdf", 0, "%PDF-", pdfDeeper},
	{"png", 0, "\x89PNG\r\n\x1a\n", pngDeeper},
	{"jpeg", 0, "\xff\xd8\xff", jpegDeeper},
	{"gif", 0, "GIF87a", nil},
	{"gif", 0, "GIF89a", nil},
	{"ole", 0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", oleDeeper},
	{"gzip", 0, "\x1f\x8b\x08", gzipDeeper},
	{"7z", 0, "7z\xbc\xaf\x27\x1c", sevenZipDeeper},
	{"rar", 0, "Rar!\x1a\x07", nil},
	{"xz", 0, "\xfd7zXZ\x00", nil},
	{"bzip2", 0, "BZh", bzip2Deeper},
	{"zstd", 0, "\x28\xb5\x2f\xfd", nil},
	{"exe", 0, "MZ", exeDeeper},
	{"elf", 0, "\x7fELF", elfDeeper},
	{"sqlite", 0, "SQLite format 3\x00", sqliteDeeper},
	{"tar", 257, "ustar", tarDeeper},
	{"mp4", 4, "ftyp", mp4Deeper},
	{"riff", 0, "RIFF", riffDeeper},
	{"ogg", 0, "OggS\x00", nil},
	{"flac", 0, "fLaC", nil},
	{"mp3", 0, "ID3", nil},
	{"tiff", 0, "II*\x00", nil},
	{"tiff", 0, "MM\x00*", nil},
	{"bmp", 0, "BM", bmpDeeper},
	{"access", 4, "Standard Jet DB\x00", nil},
	{"access", 4, "Standard ACE DB\x00", nil},
}

// named says which kind files with an ending are.
var named = func() map[string]string {
	out := map[string]string{}
	for kind, endings := range map[string]string{
		"zip":  "zip docx xlsx pptx docm xlsm dotx xltx odt ods odp jar war apk epub vsdx nupkg kmz",
		"ole":  "doc xls ppt msg msi vsd pub",
		"pdf":  "pdf",
		"png":  "png",
		"jpeg": "jpg jpeg", "gif": "gif", "gzip": "gz tgz", "7z": "7z", "rar": "rar", "xz": "xz", "bzip2": "bz2",
		"zstd": "zst", "exe": "exe dll sys ocx", "sqlite": "sqlite", "tar": "tar", "mp4": "mp4 m4a m4v mov",
		"riff": "wav avi webp", "ogg": "ogg oga opus", "flac": "flac", "tiff": "tif tiff", "bmp": "bmp",
		"access": "mdb accdb",
		textKind: "txt csv tsv xml xsd xsl html htm json yaml yml log ini cfg conf sql md css js ts sh ps1 bat cmd edi edifact x12 eml asc pem rtf svg",
	} {
		for ending := range strings.FieldsSeq(endings) {
			out["."+ending] = kind
		}
	}
	return out
}()

// kindOfName is the kind that a name promises; empty when it promises none.
func kindOfName(name string) string { return named[strings.ToLower(path.Ext(name))] }

// look tells of what kind content is, and how sure that is; content is the beginning of a
// file, or all of it if complete. Nothing recognised is 0 bits.
func look(content []byte, complete bool) (name string, bits int) {
	for _, k := range kinds {
		end := k.at + len(k.magic)
		if len(content) < end || string(content[k.at:end]) != k.magic {
			continue
		}
		found := 8*len(k.magic) - guesses
		if k.deeper != nil {
			found += k.deeper(content, complete)
		}
		if found > bits {
			name, bits = k.name, found
		}
	}
	if found := textBits(content, complete); found > bits {
		return textKind, found
	}
	return name, bits
}

// fits tells whether content may be what its name promises. It answers true when it does
// not know.
func fits(name string, head []byte) bool {
	want := kindOfName(name)
	if want == "" || len(head) < blockSize {
		return true
	}
	got, bits := look(head, false)
	switch {
	case want == textKind:
		// A text may be of any old code page; what is none at all has zero bytes.
		return got != "" || !bytes.Contains(head, []byte{0})
	case want == "tar":
		return true // old ones have no signature
	}
	return got != "" && bits > 0
}

// textBits judges a text: ASCII, UTF-8, UTF-16 with a mark, or a Windows code page.
func textBits(content []byte, complete bool) int {
	if rest, ok := bytes.CutPrefix(content, []byte{0xff, 0xfe}); ok {
		return wideBits(rest)
	}
	if len(content) > textLook {
		content, complete = content[:textLook], false
	}
	whole := validUTF8(content, complete)
	// The beginning counts by itself: a wrong vector breaks no other block.
	head, rest := content[:min(len(content), textHead)], content[min(len(content), textHead):]
	bits, ok := plainBits(head, whole)
	more, alsoOK := plainBits(rest, whole)
	if !ok || !alsoOK {
		return 0
	}
	return max(0, bits+min(more, mostOfText))
}

// plainBits counts letters. Chance gives a byte of ASCII 98 times of 256: 1.4 bits; bytes of
// the upper half are allowed in any number as UTF-8, and now and then otherwise.
func plainBits(content []byte, isUTF8 bool) (bits int, ok bool) {
	plain, high := 0, 0
	for _, b := range content {
		switch {
		case b >= 0x80:
			high++
		case b >= ' ' && b != 0x7f || b == '\n' || b == '\r' || b == '\t' || b == '\f':
			plain++
		default:
			return 0, false
		}
	}
	bits = plain * 14 / 10
	if !isUTF8 {
		bits -= high * 4
	}
	return bits, isUTF8 || high*4 <= plain
}

// validUTF8 lets a beginning end in the middle of a character.
func validUTF8(content []byte, complete bool) bool {
	if complete {
		return utf8.Valid(content)
	}
	for cut := range min(utf8.UTFMax, len(content)) {
		if utf8.Valid(content[:len(content)-cut]) {
			return true
		}
	}
	return false
}

// wideBits counts the letters of UTF-16, little-endian, whose upper byte is zero.
func wideBits(content []byte) int {
	content = content[:min(len(content), textLook)&^1]
	latin := 0
	for i := 0; i < len(content); i += 2 {
		if content[i+1] == 0 && content[i] != 0 {
			latin++
		}
	}
	if latin*4 < len(content) {
		return 0
	}
	return min(latin*8, mostOfText)
}

func field16(content []byte, at int) int {
	if len(content) < at+2 {
		return -1
	}
	return int(binary.LittleEndian.Uint16(content[at:]))
}

func field32(content []byte, at int) int64 {
	if len(content) < at+4 || at < 0 {
		return -1
	}
	return int64(binary.LittleEndian.Uint32(content[at:]))
}

// wrong is what speaks against a kind: more than a short signature speaks for it.
const wrong = -64

// zipDeeper looks at the name of the first entry and at the end of the archive.
func zipDeeper(content []byte, complete bool) int {
	const fixed = 30 // bytes before the name
	if len(content) < fixed {
		return 0
	}
	length := field16(content, 26)
	if !slices.Contains([]int{0, 8, 9, 12, 14, 93, 95, 99}, field16(content, 8)) || length == 0 || length > 1024 {
		return wrong
	}
	bits := 16
	if name := content[fixed:min(len(content), fixed+length)]; len(name) > 0 {
		n := textBits(name, false)
		if n == 0 {
			return wrong
		}
		bits += n
	}
	if !complete {
		return bits
	}
	// The directory ends with a record of 22 bytes and a comment.
	tail := content[max(0, len(content)-22-256):]
	if bytes.Contains(tail, []byte("PK\x05\x06\x00\x00\x00\x00")) {
		at := bytes.LastIndex(tail, []byte("PK\x05\x06"))
		if field16(tail, at+20) == len(tail)-at-22 {
			return bits + 64
		}
		return bits + 24 // something follows its end, as a padding that was not taken off
	}
	return bits
}

func pdfDeeper(content []byte, complete bool) int {
	bits := 0
	if len(content) >= 9 && content[5] >= '1' && content[5] <= '2' && content[6] == '.' {
		bits += 12
	}
	if len(content) > blockSize && bytes.Contains(content[blockSize:min(len(content), 1024)], []byte(" obj")) {
		bits += 24
	}
	if complete {
		if tail := content[max(0, len(content)-1024):]; bytes.Contains(tail, []byte("%%EOF")) {
			bits += 28
			if textBits(tail[bytes.LastIndex(tail, []byte("%%EOF")):], true) > 0 {
				bits += 8
			}
		}
	}
	return bits
}

func pngDeeper(content []byte, complete bool) int {
	if len(content) < 33 {
		return 0
	}
	if crc32.ChecksumIEEE(content[12:29]) != binary.BigEndian.Uint32(content[29:]) {
		return wrong
	}
	bits := 64
	if complete && bytes.HasSuffix(content, []byte("IEND\xae\x42\x60\x82")) {
		bits += 64
	}
	return bits
}

// jpegDeeper goes from segment to segment, up to the picture itself.
func jpegDeeper(content []byte, complete bool) int {
	bits := 0
	for at := 2; at+4 <= len(content); {
		if content[at] != 0xff || content[at+1] < 0xc0 {
			return wrong
		}
		bits += 10
		if content[at+1] == 0xda {
			break
		}
		at += 2 + int(binary.BigEndian.Uint16(content[at+2:]))
	}
	if complete && bytes.HasSuffix(content, []byte{0xff, 0xd9}) {
		bits += 16
	}
	return min(bits, 100)
}

func oleDeeper(content []byte, _ bool) int {
	if len(content) < 32 {
		return 0
	}
	if field16(content, 28) != 0xfffe || field16(content, 26) > 4 {
		return wrong
	}
	return 32
}

// gzipDeeper inflates: bytes of no meaning soon break a rule.
func gzipDeeper(content []byte, complete bool) int {
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return wrong
	}
	n, err := io.Copy(io.Discard, io.LimitReader(r, 64<<10))
	switch {
	case err == nil && complete && n < 64<<10:
		return 64 // its checksum fits
	case err == nil || err == io.ErrUnexpectedEOF && n > 0:
		return int(min(n/16, 32))
	case n == 0:
		return wrong
	}
	return 0
}

func sevenZipDeeper(content []byte, _ bool) int {
	if len(content) < 32 {
		return 0
	}
	if int64(crc32.ChecksumIEEE(content[12:32])) != field32(content, 8) {
		return wrong
	}
	return 40
}

func bzip2Deeper(content []byte, _ bool) int {
	if len(content) < 10 || string(content[4:10]) != "1AY&SY" {
		return wrong
	}
	return 48
}

func exeDeeper(content []byte, _ bool) int {
	at := field32(content, 60)
	if at < 0 || at+4 > int64(len(content)) {
		return 0
	}
	if string(content[at:at+4]) != "PE\x00\x00" {
		return wrong
	}
	return 56
}

func elfDeeper(content []byte, _ bool) int {
	if len(content) < 20 || content[4] > 2 || content[5] > 2 || content[6] != 1 {
		return wrong
	}
	if kind := field16(content, 16); kind < 1 || kind > 4 {
		return wrong
	}
	return 34
}

func sqliteDeeper(content []byte, complete bool) int {
	if len(content) < 24 || string(content[21:24]) != "\x40\x20\x20" {
		return wrong
	}
	size := int(binary.BigEndian.Uint16(content[16:]))
	if size == 1 {
		size = 1 << 16
	}
	if size < 512 || size&(size-1) != 0 || complete && len(content)%size != 0 {
		return wrong
	}
	return 36
}

func tarDeeper(content []byte, _ bool) int {
	if len(content) < 512 {
		return 0
	}
	sum := 0
	for i, b := range content[:512] {
		if i >= 148 && i < 156 {
			b = ' '
		}
		sum += int(b)
	}
	want := 0
	for _, b := range content[148:156] {
		if b >= '0' && b <= '7' {
			want = want*8 + int(b-'0')
		}
	}
	if sum != want {
		return wrong
	}
	return 64
}

func mp4Deeper(content []byte, _ bool) int {
	size := int64(binary.BigEndian.Uint32(content))
	if size < 16 || size > 1024 {
		return wrong
	}
	if size+8 > int64(len(content)) {
		return 20
	}
	if slices.Contains([]string{"moov", "mdat", "free", "wide", "skip", "uuid", "moof", "styp", "sidx", "pdin"}, string(content[size+4:size+8])) {
		return 50
	}
	return wrong
}

func riffDeeper(content []byte, complete bool) int {
	if len(content) < 16 {
		return 0
	}
	bits := wrong
	if slices.Contains([]string{"WAVE", "AVI ", "WEBP"}, string(content[8:12])) {
		bits = 30
	}
	if size := field32(content, 4); complete && bits > 0 {
		if size != int64(len(content)-8) {
			return 0
		}
		bits += 32
	}
	return bits
}

func bmpDeeper(content []byte, complete bool) int {
	if field32(content, 6) != 0 || !slices.Contains([]int64{12, 40, 56, 108, 124}, field32(content, 14)) {
		return wrong
	}
	if complete && field32(content, 2) != int64(len(content)) {
		return 24
	}
	return 56
}
