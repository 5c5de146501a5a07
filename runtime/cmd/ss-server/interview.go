package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/term"

	"ss-setup/runtime/setup/answers"
	"ss-setup/runtime/verbs"
)

// interview asks a person for the answers of a set-up.
type interview struct {
	in  io.Reader
	out io.Writer
	// secret reads a line that is not shown.
	secret func() (string, error)
}

func newInterview(in *os.File, out io.Writer) *interview {
	return &interview{in: in, out: out, secret: func() (string, error) {
		text, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(out)
		return string(text), err
	}}
}

// errCancelled is the end of an interview without its last answer.
var errCancelled = verbs.ErrCancelled

// ask fills in the answers. What is wrong is told at once and asked again.
func (i *interview) ask(a *answers.Answers) error {
	a.SuperAdmin = &answers.SuperAdmin{}
	for _, step := range []func() error{
		func() error {
			return i.text(a, "node_id", "Name of this node (empty for one that is made)", "", func(v string) { a.NodeID = v })
		},
		func() error {
			return i.text(a, "description", "What is it for (may be empty)", "", func(v string) { a.Description = v })
		},
		func() error {
			return i.text(a, "superadmin.name", "Name of the SuperAdmin", answers.DefaultSuperAdmin, func(v string) { a.SuperAdmin.Name = v })
		},
		func() error {
			return i.password(a, "superadmin.password", "Password", func(v string) { a.SuperAdmin.Password = v })
		},
		func() error {
			return i.text(a, "recovery_email", "E-mail address, for when the password is lost", "", func(v string) { a.RecoveryEmail = v })
		},
		func() error { return i.site(a) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	yes, err := i.yes("Set the node up like that")
	if err == nil && !yes {
		err = errCancelled
	}
	return err
}

func (i *interview) site(a *answers.Answers) error {
	yes, err := i.yes("Make a first site")
	if err != nil || !yes {
		return err
	}
	s := &answers.Site{}
	a.FirstSite = s
	a.Complete()
	for _, step := range []func() error{
		func() error {
			return i.text(a, "first_site.name", "Name of the site", answers.DefaultSite, func(v string) { s.Name, s.Folder = v, "" })
		},
		func() error { return i.port(a) },
		func() error { return i.folder(a) },
		func() error { s.Encrypted, err = i.yes("Encrypt the files"); return err },
		func() error { return i.user(a, s) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (i *interview) port(a *answers.Answers) error {
	return i.text(a, "sftp_port", "Port (empty for 22, or 2222 where 22 is taken)", "", func(v string) { a.SFTPPort = portOf(v) })
}

func (i *interview) folder(a *answers.Answers) error {
	a.Complete()
	return i.text(a, "first_site.folder", "Folder of its files", a.FirstSite.Folder, func(v string) { a.FirstSite.Folder = v })
}

// again asks anew for what only the server could find wrong. asked is false where err is of
// something else.
func (i *interview) again(a *answers.Answers, err error) (asked bool, cancelled error) {
	for field, question := range map[string]func(*answers.Answers) error{"sftp_port": i.port, "first_site.folder": i.folder} {
		if a.FirstSite != nil && strings.Contains(err.Error(), ": "+field+": ") {
			fmt.Fprintf(i.out, "That cannot be: %v.\n", err)
			return true, question(a)
		}
	}
	return false, nil
}

func (i *interview) user(a *answers.Answers, s *answers.Site) error {
	yes, err := i.yes("Make a first user")
	if err != nil || !yes {
		return err
	}
	u := &answers.User{}
	s.User = u
	for _, step := range []func() error{
		func() error {
			return i.text(a, "first_site.user.name", "Name of the user", "", func(v string) { u.Name = v })
		},
		func() error {
			return i.text(a, "first_site.user.public_keys[0]", "Public key, a line as in a .pub file (may be empty)", "", func(v string) {
				if u.PublicKeys = nil; v != "" {
					u.PublicKeys = []string{v}
				}
			})
		},
		func() error {
			question := "Password"
			if len(u.PublicKeys) > 0 {
				question = "Password, empty for none"
			}
			return i.password(a, "first_site.user.password", question, func(v string) { u.Password = v })
		},
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// portOf is -1, which is no port, for what is no number.
func portOf(text string) int {
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return -1
	}
	return n
}

// text asks until the answer to a field is right.
func (i *interview) text(a *answers.Answers, field, question, standard string, set func(string)) error {
	for {
		if standard != "" {
			fmt.Fprintf(i.out, "%s [%s]: ", question, standard)
		} else {
			fmt.Fprintf(i.out, "%s: ", question)
		}
		line, err := i.line()
		if err != nil {
			return err
		}
		if line == "" {
			line = standard
		}
		if set(line); i.right(a, field) {
			return nil
		}
	}
}

// password asks for one until it is right.
func (i *interview) password(a *answers.Answers, field, question string, set func(string)) error {
	_, err := i.newSecret(question, func(text string) bool {
		set(text)
		return i.right(a, field)
	})
	return err
}

// newSecret asks twice, and shows nothing; good tells what is wrong with it.
func (i *interview) newSecret(question string, good func(string) bool) (string, error) {
	for {
		fmt.Fprintf(i.out, "%s (not shown): ", question)
		first, err := i.secret()
		if err != nil {
			return "", errCancelled
		}
		if !good(first) {
			continue
		}
		// Where none is right as well, nothing can be mistyped.
		if first == "" {
			return "", nil
		}
		fmt.Fprint(i.out, "Once more: ")
		second, err := i.secret()
		if err != nil {
			return "", errCancelled
		}
		if first == second {
			return first, nil
		}
		fmt.Fprintln(i.out, "These are two different ones.")
	}
}

// right tells what is wrong with a field, if something is.
func (i *interview) right(a *answers.Answers, field string) bool {
	ok := true
	for _, wrong := range a.Check() {
		// A user without a password needs a key, which was asked for before.
		nobody := field == "first_site.user.password" && wrong.Field == "first_site.user"
		if wrong.Field == field || nobody {
			fmt.Fprintf(i.out, "That cannot be: %s; %s.\n", wrong.Problem, wrong.Cure)
			ok = false
		}
	}
	return ok
}

func (i *interview) yes(question string) (bool, error) {
	for {
		fmt.Fprintf(i.out, "%s? [yes/no] ", question)
		line, err := i.line()
		if err != nil {
			return false, err
		}
		switch line = strings.ToLower(line); {
		case slices.Contains([]string{"y", "yes"}, line):
			return true, nil
		case slices.Contains([]string{"n", "no"}, line):
			return false, nil
		}
	}
}

// line reads a line byte by byte: what stands behind it is for the next question.
func (i *interview) line() (string, error) {
	var text []byte
	for one := make([]byte, 1); len(text) < 4096; {
		n, err := i.in.Read(one)
		switch {
		case n == 1 && one[0] == '\n':
			return strings.TrimSpace(string(text)), nil
		case n == 1:
			text = append(text, one[0])
		case err != nil:
			fmt.Fprintln(i.out)
			return "", errCancelled
		}
	}
	return "", errors.New("the line is too long; nothing was changed")
}
