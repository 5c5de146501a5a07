package main

import (
	"errors"
	"strings"
	"testing"

	"ss-setup/runtime/setup/answers"
)

// interviewed answers the questions of a set-up with typed lines and secrets.
func interviewed(typed, secrets string) (*answers.Answers, string, error) {
	var shown strings.Builder
	hidden := strings.Split(secrets, "\n")
	i := &interview{in: strings.NewReader(typed), out: &shown, secret: func() (string, error) {
		if len(hidden) == 0 {
			return "", errors.New("no more")
		}
		first := hidden[0]
		hidden = hidden[1:]
		return first, nil
	}}
	a := &answers.Answers{}
	err := i.ask(a)
	return a, shown.String(), err
}

func TestAPersonIsAskedUntilEveryAnswerIsRight(t *testing.T) {
	typed := strings.Join([]string{
		"Main Node", "romantic-lovelace", "the first", "", "nobody", "sa@example.com",
		"maybe", "yes", "", "99999", "2022", "relative", "/srv/x", "no",
		"yes", "anna", "ssh-rsa nonsense", "", "y",
	}, "\n") + "\n"
	a, shown, err := interviewed(typed, "short\ncorrect horse\nanother one\ncorrect horse\ncorrect horse\n\nbattery staple\nbattery staple")
	if err != nil {
		t.Fatalf("%v\n%s", err, shown)
	}
	if wrong := a.Check(); len(wrong) > 0 {
		t.Error(wrong)
	}
	s := a.FirstSite
	if a.NodeID != "romantic-lovelace" || a.SuperAdmin.Name != "sa" || a.SuperAdmin.Password != "correct horse" || a.RecoveryEmail != "sa@example.com" ||
		a.SFTPPort != 2022 || s.Name != "main" || s.Folder != "/srv/x" || s.Encrypted || s.User.Name != "anna" || s.User.Password != "battery staple" || len(s.User.PublicKeys) > 0 {
		t.Errorf("%+v %+v %+v", a, s, s.User)
	}
	for _, want := range []string{"That cannot be: it is not a short name; use 1 to 63", "These are two different ones.", "nobody could log in", "10 characters at least"} {
		if !strings.Contains(shown, want) {
			t.Errorf("it did not say %q:\n%s", want, shown)
		}
	}
	for _, secret := range []string{"correct horse", "battery", "another one"} {
		if strings.Contains(shown, secret) {
			t.Errorf("a password was shown: %s", shown)
		}
	}
}

func TestWhoHasAKeyIsAskedForNoPasswordTwice(t *testing.T) {
	key := "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBarHDcsLBHXKZbKWRVu6KwA5h3YFJn/ZmN0KWiUzrn3"
	typed := strings.Join([]string{"", "", "", "sa@example.com", "yes", "", "", "", "no", "yes", "anna", key, "yes"}, "\n") + "\n"
	a, shown, err := interviewed(typed, "correct horse\ncorrect horse\n")
	if err != nil || len(a.FirstSite.User.PublicKeys) != 1 || a.FirstSite.User.Password != "" || strings.Count(shown, "Once more") != 1 {
		t.Errorf("%+v, %v\n%s", a, err, shown)
	}
}

func TestWhatTheServerFindsWrongIsAskedAgainAlone(t *testing.T) {
	var shown strings.Builder
	a := &answers.Answers{SFTPPort: 22, FirstSite: &answers.Site{Name: "main", Folder: "/srv/x"}}
	i := &interview{in: strings.NewReader("2022\n/srv/y\n"), out: &shown}
	for _, fault := range []string{"sftp_port: the server cannot listen there", "first_site.folder: folder cannot hold a VFS"} {
		if asked, err := i.again(a, errors.New("the running server: "+fault)); !asked || err != nil {
			t.Errorf("%s: %v, %v", fault, asked, err)
		}
	}
	if a.SFTPPort != 2022 || a.FirstSite.Folder != "/srv/y" || !strings.Contains(shown.String(), "cannot hold a VFS") {
		t.Errorf("%+v %+v\n%s", a, a.FirstSite, &shown)
	}
	if asked, _ := i.again(a, errors.New("the running server: the disk is full")); asked {
		t.Error("asked for what is no answer")
	}
	if _, err := i.again(a, errors.New("x: sftp_port: y")); !errors.Is(err, errCancelled) {
		t.Errorf("without an answer: %v", err)
	}
}

func TestASetUpNeedsNoSite(t *testing.T) {
	a, shown, err := interviewed("\n\nada\nada@example.com\nno\nyes\n", "correct horse\ncorrect horse")
	if err != nil || a.FirstSite != nil || a.NodeID != "" || a.SuperAdmin.Name != "ada" || len(a.Check()) > 0 {
		t.Errorf("%+v, %v\n%s", a, err, shown)
	}
}

func TestAnInterviewThatIsBrokenOffChangesNothing(t *testing.T) {
	for name, typed := range map[string]string{"at once": "", "in the middle": "\n\nada\n", "at the end": "\n\nada\nada@example.com\nno\nno\n"} {
		if _, _, err := interviewed(typed, "correct horse\ncorrect horse"); !errors.Is(err, errCancelled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
