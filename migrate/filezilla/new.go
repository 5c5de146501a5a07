package filezilla

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"ss-setup/migrate/convert"
	"ss-setup/migrate/report"
	"ss-setup/runtime/auth"
	"ss-setup/runtime/model"
)

// newAccount is a user or group of versions 1.
type newAccount struct {
	Name    string  `xml:"name,attr"`
	Enabled string  `xml:"enabled,attr"`
	Mounts  []mount `xml:"mount_point"`
	Limits  struct {
		In         string `xml:"inbound,attr"`
		Out        string `xml:"outbound,attr"`
		SessionIn  string `xml:"session_inbound,attr"`
		SessionOut string `xml:"session_outbound,attr"`
	} `xml:"rate_limits"`
	Allowed     string    `xml:"allowed_ips"`
	Forbidden   string    `xml:"disallowed_ips"`
	Sessions    string    `xml:"session_count_limit"`
	Description string    `xml:"description"`
	Groups      []string  `xml:"group"`
	Password    *password `xml:"password"`
	System      *struct{} `xml:"impersonation"`
	Methods     string    `xml:"methods"`
	OpenLimits  struct{}  `xml:"session_open_limits"`
	Realms      []realm   `xml:"realm"`
	Others      []other   `xml:",any"`
}

type realm struct {
	Name   string `xml:"name,attr"`
	Status string `xml:"status,attr"`
}

type mount struct {
	Path      string `xml:"tvfs_path,attr"`
	Access    string `xml:"access,attr"`
	Native    string `xml:"native_path,attr"`
	NewNative string `xml:"new_native_path,attr"`
	Recursive string `xml:"recursive,attr"`
}

type password struct {
	Index      string `xml:"index,attr"`
	Hash       string `xml:"hash"`
	Salt       string `xml:"salt"`
	Iterations string `xml:"iterations"`
}

// systemUser stands for all accounts of the machine.
const systemUser = "<system user>"

func (i *run) newAccount(n *newAccount, group bool) error {
	a := &convert.Account{Name: n.Name, Description: n.Description}
	at := "user"
	switch {
	case group:
		a.Sort, at = convert.LocalGroup, "group"
	case n.System != nil && n.Password.none() || n.Name == systemUser:
		i.site.Drop(report.User, n.Name, report.WindowsAccount, "it is an account of the machine itself, whose password the old server did not have", "make an account here, or use the directory")
		return nil
	default:
		a.Password = n.Password.hash()
		if n.Password.none() {
			a.Locks = append(a.Locks, convert.Lock{Rule: report.Passwords, Why: "it could log in without a password", Cure: "give it one and enable it"})
		}
	}
	for _, o := range n.Others {
		i.r.Unknown(at + "." + short(o.XMLName.Local))
	}
	a.Groups = n.Groups
	switch strings.ToLower(n.Enabled) {
	case "", "true", "1":
	case "false", "0":
		a.Disabled = true
	default:
		a.Status = n.Enabled
	}
	if count, err := strconv.ParseInt(strings.TrimSpace(n.Sessions), 10, 64); err == nil {
		a.MaxSessions = count
	}
	s := convert.Speed{Up: narrower(n.Limits.In, n.Limits.SessionIn), Down: narrower(n.Limits.Out, n.Limits.SessionOut)}
	if s != (convert.Speed{}) {
		a.Speed = []convert.Speed{s}
	}
	i.addresses(a, strings.Fields(n.Allowed), strings.Fields(n.Forbidden))
	if err := i.mounts(a, n.Mounts); err != nil {
		return err
	}
	return i.accounts.Give(a)
}

// narrower is the smaller of two limits, in bytes a second; 0 is none.
func narrower(a, b string) int64 {
	var least int64
	for _, text := range []string{a, b} {
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err == nil && n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	return least
}

// Kinds of hashes, by their numbers.
const (
	noPassword = "0"
	byPBKDF2   = "1"
	byMD5      = "2"
	bySHA512   = "3"
)

func (p *password) none() bool { return p == nil || p.Index == noPassword }

func (p *password) hash() convert.Password {
	if p.none() {
		return convert.Password{}
	}
	sum, sumErr := binary(p.Hash)
	salt, saltErr := binary(p.Salt)
	text, ok := "", false
	if sumErr == nil && saltErr == nil {
		switch p.Index {
		case byPBKDF2:
			n, err := strconv.Atoi(strings.TrimSpace(p.Iterations))
			if err == nil {
				text, ok = auth.PBKDF2Hash(auth.DigestSHA256, n, salt, sum)
			}
		case byMD5:
			text, ok = auth.DigestHash(auth.DigestMD5, nil, hex.EncodeToString(sum))
		case bySHA512:
			text, ok = auth.DigestHash(auth.DigestSHA512, salt, hex.EncodeToString(sum))
		}
	}
	if !ok {
		return convert.Password{Scheme: convert.Foreign, Hash: "?"}
	}
	return convert.Password{Hash: text}
}

// binary reads base64, with or without its padding.
func binary(text string) ([]byte, error) {
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(text), "="))
}

// mounts: the one at / is the home, the others are folders.
func (i *run) mounts(a *convert.Account, list []mount) error {
	for _, m := range list {
		native := m.NewNative
		if native == "" {
			native = m.Native
		}
		place, err := i.site.Place(nativeNew(native))
		if err != nil {
			return err
		}
		place.Mount, place.Permissions = m.Path, i.permissions(a, m)
		if strings.Trim(m.Path, `/\`) == "" {
			place.Mount, a.Home = "", place
			continue
		}
		a.Folders = append(a.Folders, place)
	}
	return nil
}

// permissions of a mount point: to read, to write too, or nothing; and whether they go down
// into its folders, which may be made and removed or not.
func (i *run) permissions(a *convert.Account, m mount) []model.Permission {
	if m.Recursive == "0" {
		a.Locks = append(a.Locks, convert.Lock{Rule: report.Rights, Why: fmt.Sprintf("its rights in %.80q were for that folder and none below, which is not known here", m.Path), Cure: "look at its folders and enable it"})
	}
	out := []model.Permission{model.PermList, model.PermDownload}
	switch {
	case m.Access == "0":
		return out
	case m.Access != "1" && m.Access != "":
		return nil
	}
	out = append(out, model.PermUpload, model.PermOverwrite, model.PermResume, model.PermDelete, model.PermAttr)
	if m.Recursive == "2" || m.Recursive == "" {
		return append(out, model.PermRename, model.PermMkdir, model.PermRmdir)
	}
	a.HalfRename = true
	return out
}

// nativeNew writes the marks in a folder as they are here. The home of an account of the
// machine is nobody's here.
func nativeNew(dir string) string {
	return strings.NewReplacer(":u", model.UserMark, "%<user>", model.UserMark, ":h", "<home>").Replace(dir)
}
