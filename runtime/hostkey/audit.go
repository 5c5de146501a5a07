package hostkey

import (
	"bytes"
	"encoding/pem"
	"strings"
)

// Finding is one key of a file, and what there is to say about it.
type Finding struct {
	Line      int    `json:"line"`
	Type      Type   `json:"type,omitempty"`
	Bits      int    `json:"bits,omitempty"`
	Algorithm string `json:"algorithm,omitempty"`
	SHA256    string `json:"sha256,omitempty"`
	MD5       string `json:"md5,omitempty"`
	Private   bool   `json:"private"`
	Comment   string `json:"comment,omitempty"`
	Verdict
}

// maxOpened is how many encrypted keys of a text are opened: each is made to cost seconds.
const maxOpened = 4

// Audit judges every key in a text: PEM blocks and lines as of .pub and known_hosts
// files, in any mixture. A text without any key is one finding that says so. The
// passphrase is tried on the first few encrypted keys only.
func Audit(text []byte, passphrase string, known *Denylist) []Finding {
	var out []Finding
	line, opened := 1, 0
	for len(text) > 0 {
		item, rest := nextItem(text)
		if words := bytes.TrimSpace(item); len(words) > 0 && words[0] != '#' {
			at := line + bytes.Count(item[:bytes.Index(item, words)], []byte("\n"))
			f := finding(at, item, "", known)
			if f.Code == Encrypted && passphrase != "" {
				if opened++; opened > maxOpened {
					f.Reason, f.Cure = "it is encrypted, and many are before it", "give this key by itself"
				} else {
					f = finding(at, item, passphrase, known)
				}
			}
			out = append(out, f)
		}
		line += bytes.Count(item, []byte("\n"))
		text = rest
	}
	if len(out) == 0 {
		out = append(out, Finding{Line: 1, Verdict: Verdict{Unreadable, "there is no key in it", "give the file of a host key"}})
	}
	return out
}

// nextItem cuts the next PEM block or line off, with the blank lines before it.
func nextItem(text []byte) (item, rest []byte) {
	begins := bytes.TrimLeft(text, " \t\r\n\ufeff")
	switch {
	case bytes.HasPrefix(begins, []byte("-----BEGIN ")):
		if block, rest := pem.Decode(begins); block != nil {
			return text[:len(text)-len(rest)], rest
		}
		return text, nil
	case bytes.HasPrefix(begins, []byte("---- BEGIN SSH2")):
		const end = "---- END SSH2 PUBLIC KEY ----"
		if at := bytes.Index(text, []byte(end)); at >= 0 {
			return text[:at+len(end)], text[at+len(end):]
		}
		return text, nil
	case bytes.HasPrefix(begins, []byte("PuTTY-User-Key-File-")):
		return text, nil
	}
	if at := bytes.IndexByte(begins, '\n'); at >= 0 {
		at += len(text) - len(begins)
		return text[:at+1], text[at+1:]
	}
	return text, nil
}

func finding(line int, item []byte, passphrase string, known *Denylist) Finding {
	k, err := Parse(item, passphrase)
	if err != nil {
		return Finding{Line: line, Verdict: JudgeError(err)}
	}
	return Finding{
		Line: line, Type: k.Type, Bits: k.Bits, Algorithm: k.Algorithm(), SHA256: k.SHA256(), MD5: k.MD5(),
		Private: k.HasPrivate(), Comment: strings.ToValidUTF8(k.Comment, "?"), Verdict: k.Judge(known),
	}
}
