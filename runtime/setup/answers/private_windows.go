package answers

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/windows"
)

// almighty are who may do everything on every machine, and the rights of an owner that is
// such, as SDDL writes them.
var almighty = []string{"SY", "BA", "OW", "S-1-5-18", "S-1-5-32-544", "S-1-3-4"}

var accessEntry = regexp.MustCompile(`\(([^)]*)\)`)

// private tells whether a file belongs to SYSTEM or Administrators and lets in nobody
// else.
func private(f *os.File) bool {
	d, err := windows.GetSecurityInfo(windows.Handle(f.Fd()), windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return false
	}
	owner, _, err := d.Owner()
	if err != nil || owner == nil || !slices.Contains(almighty, owner.String()) {
		return false
	}
	_, list, ok := strings.Cut(d.String(), "D:")
	entries := accessEntry.FindAllStringSubmatch(list, -1)
	if !ok || len(entries) == 0 {
		return false // no list lets everybody in
	}
	for _, e := range entries {
		fields := strings.Split(e[1], ";")
		if len(fields) < 6 || strings.HasPrefix(fields[0], "A") && !slices.Contains(almighty, fields[5]) {
			return false
		}
	}
	return true
}

// ClearPasswordCure says why a password in clear text is not taken, and what to do. Who
// has changed the list has not changed the owner, who could change it back.
func ClearPasswordCure(file string) string {
	return fmt.Sprintf("a password in clear text is taken only from a file that belongs to SYSTEM or Administrators and that nobody else can read; "+
		`write its hash, or run: icacls "%[1]s" /setowner *S-1-5-32-544, and then: icacls "%[1]s" /inheritance:r /grant:r *S-1-5-18:F *S-1-5-32-544:F`, file)
}
