package report

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The longest names and sentences, in bytes.
const (
	maxName     = 300
	maxSentence = 4 << 10
)

// Shown is a name as reports show it.
func Shown(name string) string { return plain(name, maxName) }

// plain is text that a terminal shows as one line and as nothing else: what moves the
// cursor, turns the direction of writing or cannot be seen stands there as an escape.
func plain(text string, most int) string {
	if isPlain(text) && len(text) <= most {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		var escape string
		switch {
		case r == utf8.RuneError && n == 1:
			escape = fmt.Sprintf(`\x%02x`, text[0])
		case !strange(r):
			escape = text[:n]
		case r < 0x80:
			escape = fmt.Sprintf(`\x%02x`, r)
		default:
			escape = fmt.Sprintf(`\u%04x`, r)
		}
		if b.Len()+len(escape) > most {
			b.WriteString("...")
			break
		}
		b.WriteString(escape)
		text = text[n:]
	}
	return b.String()
}

// isPlain tells text of printable ASCII, which most is.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// strange tells runes that do more than to be seen, or are not seen.
func strange(r rune) bool {
	return r != ' ' && !unicode.IsGraphic(r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)
}
