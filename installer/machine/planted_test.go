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
	grants              []Grant
}

func (f fakeFolder) Attributes(string) (uint32, error) { return f.attributes, f.noAttributes }
func (f fakeFolder) Owner(string) (string, error)      { return f.owner, f.noSID }
func (f fakeFolder) Grants(string) ([]Grant, error)    { return f.grants, nil }
func (f fakeFolder) User() (string, error)             { return f.user, nil }

// The numbers are those of Microsoft's lists of file attributes and well-known
// security identifiers.
func TestOnlyFoldersOfThoseWhoMayDoEverythingAreTrusted(t *testing.T) {
	const directory, reparse = 0x10, 0x400
	const anna, ben = "S-1-5-21-1-2-3-1001", "S-1-5-21-1-2-3-1002"
	ours := []Grant{
		{"S-1-5-18", 0x1f01ff},
		{"S-1-5-32-544", 0x1f01ff},
		{"S-1-5-80-1-2-3-4-5", 0x1301bf},
		{"S-1-5-32-545", 0x1200a9},
		{"S-1-3-0", 0x10000000}, // Users pass through; who made a file has it
	}
	for name, c := range map[string]struct {
		folder fakeFolder
		want   string
	}{
		"of SYSTEM":              {fakeFolder{directory, "S-1-5-18", anna, nil, nil, nil}, ""},
		"of Administrators":      {fakeFolder{directory, "S-1-5-32-544", anna, nil, nil, nil}, ""},
		"of whom runs this":      {fakeFolder{directory, anna, anna, nil, nil, nil}, ""},
		"of somebody else":       {fakeFolder{directory, ben, anna, nil, nil, nil}, "belongs to " + ben},
		"of Users":               {fakeFolder{directory, "S-1-5-32-545", anna, nil, nil, nil}, "belongs to"},
		"a junction":             {fakeFolder{directory | reparse, "S-1-5-18", anna, nil, nil, nil}, "junction"},
		"not there":              {fakeFolder{0, "", anna, fs.ErrNotExist, nil, nil}, ""},
		"a list for all":         {fakeFolder{directory, "S-1-5-32-544", anna, nil, nil, ours}, ""},
		"Users add files":        {fakeFolder{directory, "S-1-5-32-544", anna, nil, nil, append(ours, Grant{"S-1-5-32-545", 0x116})}, "lets S-1-5-32-545"},
		"Everyone adds folders":  {fakeFolder{directory, "S-1-5-32-544", anna, nil, nil, append(ours, Grant{"S-1-1-0", 0x4})}, "lets S-1-1-0"},
		"the domain's users":     {fakeFolder{directory, "S-1-5-18", anna, nil, nil, append(ours, Grant{"S-1-5-21-1-2-3-513", 0x1f01ff})}, "lets S-1-5-21-1-2-3-513"},
		"anybody may own it":     {fakeFolder{directory, "S-1-5-18", anna, nil, nil, append(ours, Grant{"S-1-5-11", 0x80000})}, "lets S-1-5-11"},
		"generic rights":         {fakeFolder{directory, "S-1-5-18", anna, nil, nil, append(ours, Grant{"S-1-5-4", 0x10000000})}, "lets S-1-5-4"},
		"somebody by name":       {fakeFolder{directory, "S-1-5-18", anna, nil, nil, append(ours, Grant{ben, 0x1f01ff})}, ""},
		"one that tells nothing": {fakeFolder{0, "", anna, errors.New("access is denied"), nil, nil}, "error"},
		"one without an owner":   {fakeFolder{directory, "", anna, nil, errors.New("access is denied"), nil}, "error"},
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
