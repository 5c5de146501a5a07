package virtualusers

import (
	"context"
	"fmt"
	"strings"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/convert"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
)

// The fields of a line of an AuthUserFile.
const (
	fieldName = iota
	fieldHash
	fieldUID
	fieldGID
	fieldComment
	fieldHome
	fieldShell
	userFields
)

// groupFields are those of a line of an AuthGroupFile.
const groupFields = 4

// OpenProFTPD recognises an AuthUserFile, by itself or among other files.
// archive.ErrNotBackup says that there is none.
func OpenProFTPD(_ context.Context, f *archive.File) (importer.Source, error) {
	var users, groups []*archive.Entry
	if !f.Zip && !f.Text {
		return nil, fmt.Errorf("%w: it is no text", archive.ErrNotBackup)
	}
	for _, e := range f.Entries {
		ok, err := looksLike(e, func(fields []string) bool {
			return len(fields) == userFields && number(fields[fieldUID]) && number(fields[fieldGID])
		})
		if err != nil {
			return nil, err
		}
		if ok {
			users = append(users, e)
			continue
		}
		if strings.Contains(e.Base()+e.Ext(), "group") {
			groups = append(groups, e)
		}
	}
	if len(users) == 0 {
		return nil, fmt.Errorf("%w: it has no AuthUserFile of ProFTPD: lines NAME:HASH:UID:GID:COMMENT:HOME:SHELL", archive.ErrNotBackup)
	}
	return &source{product: "ProFTPD", container: "proftpd-users", file: f, run: func(i *run) error {
		for _, e := range users {
			if err := i.proftpd(e); err != nil {
				return err
			}
		}
		for _, e := range groups {
			err := eachLine(i.ctx, e, func(_ int, line string) error {
				if strings.Count(line, ":") == groupFields-1 {
					i.r.LeftOut("AuthGroupFile", "such groups only say whose files are whose, and all files belong to the server's account here")
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}}, nil
}

func number(text string) bool {
	return text != "" && len(text) < 11 && strings.Trim(text, "0123456789") == ""
}

func (i *run) proftpd(e *archive.Entry) error {
	count := 0
	return eachLine(i.ctx, e, func(n int, line string) error {
		if count++; count > maxUsers {
			return fmt.Errorf("%w: %s has more than %d users", archive.ErrHostile, e.Name, maxUsers)
		}
		fields := strings.Split(line, ":")
		if len(fields) != userFields {
			i.site.Drop(report.User, fmt.Sprintf("line %d", n), report.NotUnderstood, "it is no line of an AuthUserFile", "put it right, or make the user anew")
			return nil
		}
		a := &convert.Account{Name: fields[fieldName], Description: fields[fieldComment], ActsAs: "uid " + fields[fieldUID]}
		a.Password, a.Disabled = password(fields[fieldHash])
		if fields[fieldHome] != "" {
			home, err := i.site.Place(fields[fieldHome])
			if err != nil {
				return err
			}
			home.Permissions = usual()
			a.Home = home
		}
		return i.accounts.Give(a)
	})
}
