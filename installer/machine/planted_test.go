package machine

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

type fakeFolder struct {
	attributes          uint32
	owner, user         string
	noAttributes, noSID error
}

func (f fakeFolder) Attributes(string) (uint32, error) { return f.attributes, f.noAttributes }
func (f fakeFolder) Owner(string) (string, error)      { return f.owner, f.noSID }
func (f fakeFolder) User() (string, error)             { return f.user, nil }

// The numbers are those of Microsoft's lists of file attributes and well-known
// security identifiers.
func TestOnlyFoldersOfThoseWhoMayDoEverythingAreTrusted(t *testing.T) {
	const directory, reparse = 0x10, 0x400
	const anna, ben = "S-1-5-21-1-2-3-1001", "S-1-5-21-1-2-3-1002"
	for name, c := range map[string]struct {
		folder fakeFolder
		want   string
	}{
		"of SYSTEM":              {fakeFolder{directory, "S-1-5-18", anna, nil, nil}, ""},
		"of Administrators":      {fakeFolder{directory, "S-1-5-32-544", anna, nil, nil}, ""},
		"of whom runs this":      {fakeFolder{directory, anna, anna, nil, nil}, ""},
		"of somebody else":       {fakeFolder{directory, ben, anna, nil, nil}, "belongs to " + ben},
		"of Users":               {fakeFolder{directory, "S-1-5-32-545", anna, nil, nil}, "belongs to"},
		"a junction":             {fakeFolder{directory | reparse, "S-1-5-18", anna, nil, nil}, "junction"},
		"not there":              {fakeFolder{0, "", anna, fs.ErrNotExist, nil}, ""},
		"one that tells nothing": {fakeFolder{0, "", anna, errors.New("access is denied"), nil}, "error"},
		"one without an owner":   {fakeFolder{directory, "", anna, nil, errors.New("access is denied")}, "error"},
	} {
		why, err := planted(c.folder, `C:\ProgramData\SS Server`)
		if err != nil {
			why = "error"
		}
		if (c.want == "") != (why == "") || !strings.Contains(why, c.want) {
			t.Errorf("%s: %q, %v", name, why, err)
		}
	}
}
