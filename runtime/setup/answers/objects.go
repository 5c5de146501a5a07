package answers

import (
	"time"

	"ss-setup/runtime/model"
)

// The names of what a first site has one of.
const (
	BindingName = "sftp"
	VFSName     = "files"
)

// Objects are what the answers make, but for the host keys. keyID names the key of an
// encrypted storage. They expect answers that are complete and passwords that are hashes.
func (a *Answers) Objects(keyID string, now time.Time) []model.Object {
	out := []model.Object{&model.Node{Head: model.Head{Name: a.NodeID}, Description: a.Description}}
	if s := a.SuperAdmin; s != nil {
		out = append(out, &model.SuperAdmin{Head: model.Head{Name: s.Name}, Contact: model.Contact{
			Email: a.RecoveryEmail, Password: model.Password{Hash: s.Password, Changed: changed(now)}, TOTP: s.TOTP,
		}})
	}
	if a.FirstSite != nil {
		out = append(out, a.siteObjects(keyID, now)...)
	}
	return out
}

func (a *Answers) siteObjects(keyID string, now time.Time) []model.Object {
	s := a.FirstSite
	vfs := &model.VFS{Head: model.Head{Name: VFSName}, Site: s.Name, Type: model.VFSDisk, Root: s.Folder, KeyID: keyID}
	if s.Encrypted {
		vfs.Type = model.VFSEncrypted
	}
	out := []model.Object{
		&model.Site{Head: model.Head{Name: s.Name}, Title: s.Title},
		&model.Binding{Head: model.Head{Name: BindingName}, Site: s.Name, Node: a.NodeID, Protocol: model.ProtocolSFTP, Address: s.Address, Port: a.SFTPPort},
		vfs,
	}
	if s.User == nil {
		return out
	}
	u := &model.User{Head: model.Head{Name: s.User.Name}, Site: s.Name, Email: s.User.Email}
	u.Home = model.Folder{VFS: VFSName, Path: "/" + model.UserMark, Permissions: model.UsualPermissions()}
	if s.User.Password != "" {
		u.Password = model.Password{Hash: s.User.Password, Changed: changed(now)}
	}
	for _, line := range s.User.PublicKeys {
		u.Keys = append(u.Keys, model.PublicKey{Key: line, Added: changed(now)})
	}
	return append(out, u)
}
