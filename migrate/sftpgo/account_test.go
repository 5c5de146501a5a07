package sftpgo

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// taken are users by name.
type taken map[string]*model.User

// Take implements importer.Taker.
func (x taken) Take(o model.Object) error {
	err := importer.Discard{}.Take(o)
	if u, ok := o.(*model.User); ok && err == nil {
		x[u.Name] = model.Clone(u)
	}
	return err
}

func importText(t *testing.T, text string) taken {
	t.Helper()
	file, err := archive.Read(bytes.NewReader([]byte(text)), int64(len(text)), "dump.json")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(context.Background(), file)
	if err != nil {
		t.Fatal(err)
	}
	users := taken{}
	if err := s.Import(context.Background(), importer.Options{NewNode: "here", OS: "linux"}, users, report.New(s.About())); err != nil {
		t.Fatal(err)
	}
	return users
}

func TestGroupsBindTheirUsersAsInSFTPGo(t *testing.T) {
	users := importText(t, `{"users":[
		{"username":"anna","status":1,"password":"$2a$04$abcdefghijklmnopqrstuuPWRtT5yx7FBi4dcf6ROhboeNunUrLQ.","home_dir":"/srv/own/anna","permissions":{"/":["*"]},"filesystem":{"provider":0},"groups":[{"name":"firm","type":1}]},
		{"username":"bela","status":1,"home_dir":"/tmp/b","permissions":{"/":["*"]},"filesystem":{"provider":1,"s3config":{"bucket":"b"}},"groups":[{"name":"firm","type":1}]},
		{"username":"cora","status":1,"home_dir":"/srv/own/cora","permissions":{"/":["list"]},"filesystem":{"provider":0},"groups":[{"name":"secure","type":2}]},
		{"username":"dora","status":1,"home_dir":"/srv/own/dora","permissions":{"/":["list"]},"filesystem":{"provider":0},"filters":{"totp_config":{"enabled":true,"protocols":["SSH"],"secret":{"status":"Plain","payload":"JBSWY3DPEHPK3PXP"}}},"groups":[{"name":"secure","type":2}]},
		{"username":"emil","status":1,"home_dir":"/srv/own/emil","permissions":{"/":["list"]},"filesystem":{"provider":0}}
	],"groups":[
		{"name":"firm","user_settings":{"home_dir":"/srv/firm/%username%","permissions":{"/":["list","download"]},"filesystem":{"provider":0}}},
		{"name":"secure","user_settings":{"permissions":{"/":["*"]},"filters":{"2fa_protocols":["SSH"],"denied_login_methods":["password-over-SSH","keyboard-interactive"]},"filesystem":{"provider":0}}}
	],"version":17}`)
	if u := users["anna"]; u.Disabled || u.Home.VFS != "firm" || u.Home.Path != "/{user}" || u.Home.Permissions.Has(model.PermUpload) {
		t.Errorf("the folder and permissions of the first group count: %+v", u)
	}
	if u := users["bela"]; !u.Disabled || u.Home.VFS != "" {
		t.Errorf("who has his files in a cloud has none of the group's folder: %+v", u)
	}
	if u := users["cora"]; !u.Disabled || !strings.Contains(u.Reason, "second factor") {
		t.Errorf("the group asks for a second factor: %+v", u)
	}
	if u := users["dora"]; u.Disabled || !slices.Equal(u.Auth, []model.AuthChain{"publickey"}) || u.Home.Permissions.Has(model.PermDownload) {
		t.Errorf("the group forbids ways in, and gives no permissions: %+v", u)
	}
	if u := users["emil"]; u.Disabled || len(u.Auth) > 0 {
		t.Errorf("who is in no group is as he was: %+v", u)
	}
}

func TestAPublicKeyWithOptionsIsLeftOut(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJc9YSnhJk2nUCyAdoa5PVnU6Ytwvs8FHGvIYKSNMCjm"
	users := importText(t, `{"users":[{"username":"anna","status":1,"home_dir":"/srv/own/anna","permissions":{"/":["*"]},"filesystem":{"provider":0},
		"public_keys":["from=\"192.0.2.1\" `+key+`"]},{"username":"bela","status":1,"home_dir":"/srv/own/bela","permissions":{"/":["*"]},"filesystem":{"provider":0},"public_keys":["`+key+` bela"]}],"version":17}`)
	if len(users["anna"].Keys) != 0 || len(users["bela"].Keys) != 1 {
		t.Errorf("%+v, %+v", users["anna"].Keys, users["bela"].Keys)
	}
}
