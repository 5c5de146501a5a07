package machine

import (
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

// Rights on a folder, as Windows numbers them: FILE_ALL_ACCESS; everything but
// deleting the folder itself and changing its list; reading and passing through.
const (
	fullControl = 0x1f01ff
	modify      = 0x1301bf
	readOnly    = 0x1200a9
)

// Folder is who may do what with a folder besides SYSTEM and Administrators, who
// may do everything. Services are meant by their own security identifiers, which
// hold whatever account a service runs as.
type Folder struct {
	// Writers and Readers are services; theirs is all that is in the folder.
	Writers, Readers []string
	// Inside are services that may do everything in what the folder holds, and make
	// nothing in the folder itself.
	Inside []string
	// Passable: every user may pass through the folder itself.
	Passable bool
}

// List is the access list in Windows' notation, with Administrators as owner: who
// has made the folder before could change the list else. It is protected: nothing
// of the folder above comes into it, where everybody may make files.
func (f Folder) List() string {
	var b strings.Builder
	b.WriteString("O:BAD:PAI")
	entry := func(flags string, rights uint32, who string) {
		fmt.Fprintf(&b, "(A;%s;0x%x;;;%s)", flags, rights, who)
	}
	const inherited = "OICI" // by files and by folders
	entry(inherited, fullControl, "SY")
	entry(inherited, fullControl, "BA")
	for _, s := range f.Writers {
		entry(inherited, modify, ServiceSID(s))
	}
	for _, s := range f.Inside {
		entry("", readOnly, ServiceSID(s))
		entry(inherited+"IO", modify, ServiceSID(s))
	}
	for _, s := range f.Readers {
		entry(inherited, readOnly, ServiceSID(s))
	}
	if f.Passable {
		entry("", readOnly, "BU")
	}
	return b.String()
}

// ServiceSID is the security identifier of a service, which Windows makes of its
// name: S-1-5-80 and the SHA-1 of the name in capitals as UTF-16.
func ServiceSID(service string) string {
	var raw []byte
	for _, unit := range utf16.Encode([]rune(strings.ToUpper(service))) {
		raw = binary.LittleEndian.AppendUint16(raw, unit)
	}
	sum := sha1.Sum(raw)
	sid := "S-1-5-80"
	for part := sum[:]; len(part) > 0; part = part[4:] {
		sid += fmt.Sprintf("-%d", binary.LittleEndian.Uint32(part))
	}
	return sid
}
