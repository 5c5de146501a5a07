package support

import (
	"bytes"
	"regexp"
)

// gone stands where a secret was.
const gone = "[redacted]"

// secretKey is what the name of a secret has in it.
const secretKey = `(?:passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|private[_-]?key|probe[_-]?key|authorization|cookie|credential|setup[_-]?code|otp)`

// rule replaces what looks like a secret in a line.
type rule struct {
	// hints are in small letters; a line with none of them is not looked at. Most
	// lines have none, and patterns are slow.
	hints   []string
	pattern *regexp.Regexp
	with    string
}

var keyHints = []string{"pass", "pwd", "secret", "token", "api", "private", "probe", "auth", "cookie", "credential", "setup", "otp"}

// privateKey may have many lines, and its beginning or its end may be missing.
var privateKey = regexp.MustCompile(`(?s)\A[^-]*-----END [A-Z0-9 ]*PRIVATE KEY-----|-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)`)

// rules go from what is surest to what is a guess. They rather take too much away
// than too little: a support engineer can ask again, a leaked password stays one.
var rules = []rule{
	{[]string{"://"}, regexp.MustCompile(`(://)[^/\s"]*@`), "${1}" + gone + "@"},
	{[]string{"bearer", "basic", "digest"}, regexp.MustCompile(`(?i)\b(bearer|basic|digest)\s+[A-Za-z0-9._~+/=-]{6,}`), "${1} " + gone},
	{[]string{"eyj"}, regexp.MustCompile(`\beyJ[\w-]+\.[\w-]+\.[\w-]*`), gone}, // a signed token
	{[]string{"$"}, regexp.MustCompile(`\$(?:2[abxy]|argon2[a-z]*|[1567y]|scrypt|pbkdf2[\w-]*|gy)\$[^\s"'\\]+`), gone},
	// A value in quotes, also where the quotes themselves are quoted, as text in JSON is.
	{keyHints, regexp.MustCompile(`(?i)(` + secretKey + `[\w.-]*\\?["']?\s*[:=]\s*)(?:\\"(?:[^"\\]|\\[^"])*\\"|"(?:[^"\\]|\\.)*"|'[^'\n]*')`), "${1}" + gone},
	// A value without: a word after an equals sign, else the rest of the line.
	{keyHints, regexp.MustCompile(`(?i)(` + secretKey + `[\w.-]*=)[^\s"'\[]\S*`), "${1}" + gone},
	{keyHints, regexp.MustCompile(`(?i)(` + secretKey + `[\w.-]*(?:[ \t]*:[ \t]*|[ \t]+=[ \t]*))[^\s"'\[{\\][^\n\\]*`), "${1}" + gone},
	// License codes.
	{[]string{"s7", "s8"}, regexp.MustCompile(`(?i)\bS\d[0-9A-Z]{2}(?:-[0-9A-Z]{4}){5}\b`), gone},
}

// shortest is the length from which on a known secret is looked for: a shorter one
// would be found everywhere.
const shortest = 6

// Redactor takes secrets out of text.
type Redactor struct{ known [][]byte }

// NewRedactor knows some secrets as they are; others are known by their looks.
func NewRedactor(known ...[]byte) *Redactor {
	r := &Redactor{}
	for _, secret := range known {
		if secret = bytes.TrimSpace(secret); len(secret) >= shortest {
			r.known = append(r.known, secret)
		}
	}
	return r
}

// Redact is text without its secrets.
func (r *Redactor) Redact(text []byte) []byte {
	for _, secret := range r.known {
		text = bytes.ReplaceAll(text, secret, []byte(gone))
	}
	if bytes.Contains(text, []byte("PRIVATE KEY")) {
		text = privateKey.ReplaceAll(text, []byte(gone))
	}
	out := make([]byte, 0, len(text))
	for line := range bytes.Lines(text) {
		small := bytes.ToLower(line)
		for _, rule := range rules {
			if containsAny(small, rule.hints) {
				line = rule.pattern.ReplaceAll(line, []byte(rule.with))
			}
		}
		out = append(out, withoutCodes(line)...)
	}
	return out
}

func containsAny(line []byte, hints []string) bool {
	for _, h := range hints {
		if bytes.Contains(line, []byte(h)) {
			return true
		}
	}
	return false
}

// half is the length of each half of a setup code.
const half = 4

// withoutCodes takes the setup codes of the server out of a line: ABCD-EFGH. It
// looks at hyphens alone, as every line of a log has some.
func withoutCodes(line []byte) []byte {
	for at := 0; ; {
		i := bytes.IndexByte(line[at:], '-')
		if i < 0 {
			return line
		}
		at += i + 1
		from, to := at-1-half, at+half
		if from < 0 || to > len(line) || !isCode(line[from:at-1]) || !isCode(line[at:to]) || !bounded(line, from, to) {
			continue
		}
		line = append(append(append(make([]byte, 0, len(line)), line[:from]...), gone...), line[to:]...)
		at = from + len(gone)
	}
}

// isCode tells letters of a setup code: no 0 and O, no 1 and I.
func isCode(letters []byte) bool {
	for _, c := range letters {
		if c < '2' || c > 'Z' || c > '9' && c < 'A' || c == 'I' || c == 'O' {
			return false
		}
	}
	return true
}

// bounded tells whether line[from:to] is no part of a longer word.
func bounded(line []byte, from, to int) bool {
	return (from == 0 || !isWord(line[from-1])) && (to == len(line) || !isWord(line[to]))
}

func isWord(c byte) bool {
	return c == '-' || c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}
