package web

import (
	"slices"
	"strings"
	"time"

	"ss-setup/runtime/hostkey"
	"ss-setup/runtime/model"
	"ss-setup/runtime/rest"
	"ss-setup/runtime/sites"
)

// userData is what the page of a user shows above the form.
type userData struct {
	*rest.UserStatus
	MayKick    bool
	Path, User string
	// Page is the user's own.
	Page string
	Keys []keyRow
	// Reach is what the user may where: a column for each place, a line for each right.
	Reach []sites.Reach
	Lines []rightLine
	// More is how many places have no column.
	More int
	// Typed is the path that is tried, Tried what becomes of it, Wrong why it is none.
	Typed, Wrong string
	Tried        *tried
}

// keyRow is a public key with what there is to say of it.
type keyRow struct {
	Name, Algorithm, Fingerprint string
	Bits                         int
	Added, Expires               time.Time
	State                        cell
}

// rightLine is a right, and whether it is there in each place.
type rightLine struct {
	Text  string
	Cells []cell
}

// tried is a path of a user.
type tried struct {
	sites.Reach
	May, MayNot, Denied string
}

// mostPlaces bounds the columns of the table of rights.
const mostPlaces = 12

func (v *visit) userAbove(key model.Key) (*userData, error) {
	status, err := v.who.UserStatus(key)
	if err != nil {
		return nil, err
	}
	data := &userData{UserStatus: status, MayKick: v.who.MayEdit(key), Path: sitePath(key.Site), User: key.ID, Page: userPath(key.Site, key.ID)}
	for _, k := range status.Effective.Keys {
		data.Keys = append(data.Keys, v.keyRow(k))
	}
	reach, err := v.who.Reach(key, "")
	if err != nil {
		return nil, err
	}
	data.Reach = reach[:min(len(reach), mostPlaces)]
	data.More = len(reach) - len(data.Reach)
	data.Lines = rightLines(data.Reach)
	data.Typed = cut(v.r.URL.Query().Get("path"), 4096)
	if data.Typed == "" {
		return data, nil
	}
	return data, v.try(key, data)
}

// try tells what becomes of a path that somebody typed.
func (v *visit) try(key model.Key, data *userData) error {
	found, err := v.who.Reach(key, data.Typed)
	var p *rest.Problem
	switch {
	case asProblem(err, &p) && len(p.Errors) > 0:
		data.Wrong = sentence(p.Errors[0].Problem + "; " + p.Errors[0].Cure)
	case err != nil:
		return err
	case len(found) == 0:
		data.Wrong = "The user has no home, so no path leads anywhere."
	default:
		t := &tried{Reach: found[0], May: rightWords(found[0].Rights), Denied: rightWords(found[0].Denied)}
		t.MayNot = rightWords(slices.DeleteFunc(model.AllPermissions(), func(p model.Permission) bool {
			return slices.Contains(t.Rights, p) || slices.Contains(t.Reach.Denied, p)
		}))
		data.Tried = t
	}
	return nil
}

func rightWords(list []model.Permission) string {
	words := make([]string, len(list))
	for i, p := range list {
		words[i] = permissionWords[p]
	}
	return strings.Join(words, ", ")
}

func rightLines(places []sites.Reach) (out []rightLine) {
	if len(places) == 0 {
		return nil
	}
	for _, p := range model.AllPermissions() {
		line := rightLine{Text: permissionWords[p]}
		for _, at := range places {
			c := cell{Text: "no", State: "off"}
			switch {
			case slices.Contains(at.Rights, p):
				c = cell{Text: "yes", State: "good"}
			case slices.Contains(at.Denied, p):
				c = cell{Text: "not in this storage", State: "warn"}
			}
			line.Cells = append(line.Cells, c)
		}
		out = append(out, line)
	}
	return out
}

func (v *visit) keyRow(k model.PublicKey) keyRow {
	found := v.who.JudgeKey(k.Key)
	row := keyRow{Name: k.Name, Algorithm: found.Algorithm, Fingerprint: k.Fingerprint, Bits: found.Bits, Added: k.Added, Expires: k.Expires, State: verdictCell(found)}
	if row.Algorithm == "" {
		// Keys of hardware tokens are used, and not judged.
		row.Algorithm, _, _ = strings.Cut(k.Key, " ")
	}
	if !k.Expires.IsZero() && !v.Now().Before(k.Expires) {
		row.State = cell{Text: "Expired", State: "bad", Sub: "It opens nothing any more."}
	}
	return row
}

// verdictCell is what there is to say of a key, as a badge with the reason.
func verdictCell(f hostkey.Finding) cell {
	switch {
	case f.OK():
		return cell{Text: "Sound", State: "good"}
	case f.Code == hostkey.Unreadable || f.Code == hostkey.WrongCurve:
		return cell{Text: "Not judged", State: "off", Sub: sentence(f.Reason)}
	}
	return cell{Text: "Weak", State: "bad", Sub: sentence(f.Reason)}
}
