package hostkey

import (
	"bytes"
	"encoding/pem"
	"strings"
)

// Finding is one key of a file, and what there is to say about it.
type Finding struct {
	// File is what the text was called; empty if it has no name.
	File      string `json:"file,omitempty"`
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

// Auditor judges the keys of several machines, each by itself and together.
type Auditor struct {
	// Passphrase is tried on the first few encrypted keys of each text only.
	Passphrase string
	Known      *Denylist
	// OneCluster says that all keys are of machines that share theirs on purpose.
	OneCluster bool

	found []Finding
	keys  []*Key // of the findings; nil where there is none
}

// Audit judges every key in a text, and them together.
func Audit(text []byte, passphrase string, known *Denylist) []Finding {
	a := Auditor{Passphrase: passphrase, Known: known}
	a.Add("", text)
	return a.Findings()
}

// Add judges every key in a text: PEM blocks and lines as of .pub and known_hosts files, in
// any mixture. A text without any key is one finding that says so.
func (a *Auditor) Add(file string, text []byte) {
	before := len(a.found)
	line, opened := 1, 0
	for len(text) > 0 {
		item, rest := nextItem(text)
		if words := bytes.TrimSpace(item); len(words) > 0 && words[0] != '#' {
			at := line + bytes.Count(item[:bytes.Index(item, words)], []byte("\n"))
			f, k := a.judge(at, item, "")
			if f.Code == Encrypted && a.Passphrase != "" {
				if opened++; opened > maxOpened {
					f.Reason, f.Cure = "it is encrypted, and many are before it", "give this key by itself"
				} else {
					f, k = a.judge(at, item, a.Passphrase)
				}
			}
			f.File = file
			a.found, a.keys = append(a.found, f), append(a.keys, k)
		}
		line += bytes.Count(item, []byte("\n"))
		text = rest
	}
	if len(a.found) == before {
		none := Finding{File: file, Line: 1, Verdict: Verdict{Unreadable, "there is no key in it", "give the file of a host key"}}
		a.found, a.keys = append(a.found, none), append(a.keys, nil)
	}
}

// Findings are those of all texts in their order.
func (a *Auditor) Findings() []Finding {
	a.findSharedFactors()
	if !a.OneCluster {
		a.findSharedKeys()
	}
	return a.found
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

func (a *Auditor) judge(line int, item []byte, passphrase string) (Finding, *Key) {
	k, err := Parse(item, passphrase)
	if err != nil {
		return Finding{Line: line, Verdict: JudgeError(err)}, nil
	}
	return Finding{
		Line: line, Type: k.Type, Bits: k.Bits, Algorithm: k.Algorithm(), SHA256: k.SHA256(), MD5: k.MD5(),
		Private: k.HasPrivate(), Comment: strings.ToValidUTF8(k.Comment, "?"), Verdict: k.Judge(a.Known),
	}, k
}
