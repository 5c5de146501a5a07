package sites

import (
	"errors"
	"fmt"
	"runtime"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/vfs"
	"ss-setup/runtime/vfs/tree"
)

// Reach is what a user finds at a path, and may do there.
type Reach struct {
	Path   string `json:"path" doc:"As the user sees it."`
	Mount  string `json:"mount" doc:"Where the storage begins in which it lies: / is the home."`
	VFS    string `json:"vfs" doc:"The storage in which it lies."`
	Folder string `json:"folder" doc:"Where it lies in the storage."`
	Rule   string `json:"rule" doc:"Of which path the rights hold."`
	// Rights are those that are left, Denied those that the storage gives nobody.
	Rights []model.Permission `json:"rights" nullable:"false"`
	Denied []model.Permission `json:"denied,omitempty" doc:"Rights that the rule gives and the storage gives nobody."`
	Hidden bool               `json:"hidden,omitempty" doc:"It is left out of listings."`
}

// ErrPath is a path that no user can name; errors of Reaches wrap it.
var ErrPath = errors.New("no path")

// Reaches tells what a user finds at paths, as his sessions do, but for links that lie on
// them; at every path where other rights begin if none is named. u has what the groups give.
// A user without a home finds nothing.
func Reaches(r *engine.Reader, u *model.User, paths ...string) ([]Reach, error) {
	l, err := layoutOf(r, u)
	if errors.Is(err, errHome) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	wanted := l.points()
	if len(paths) > 0 {
		wanted = nil
	}
	for _, text := range paths {
		path, err := vfs.Parse(text, vfs.HostRules())
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrPath, err)
		}
		wanted = append(wanted, path)
	}
	out := make([]Reach, len(wanted))
	for i, path := range wanted {
		out[i] = l.reach(path)
	}
	return out, nil
}

func (l layout) reach(path vfs.Path) Reach {
	v := tree.View{Rules: l.rules}
	for _, p := range l.places {
		v.Mounts = append(v.Mounts, tree.Mount{At: p.at, Deny: p.deny, Folds: runtime.GOOS == "windows"})
	}
	found := v.Where(path)
	out := Reach{Path: path.String(), Mount: found.Mount.String(), Rule: found.Rule.String(), Rights: []model.Permission{}}
	for _, p := range l.places {
		if p.at == found.Mount {
			out.VFS, out.Folder, out.Hidden = p.volume.key.ID, found.Inner.Under(p.inner).String(), p.hidden
		}
	}
	for _, permission := range model.AllPermissions() {
		switch bits := rightsOf[permission]; {
		case found.Allowed&bits != 0:
			out.Rights = append(out.Rights, permission)
		case found.Given&bits != 0:
			out.Denied = append(out.Denied, permission)
		}
	}
	return out
}
