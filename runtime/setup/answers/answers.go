// Package answers is what the first set-up of a node is told: its name, its SuperAdmin
// and its first site. It reads the part of an answers file that says so, and tells
// everything that is wrong with it before anything is done.
//
// A password stands in the file itself, in a file of its own, or as its hash. Nothing
// here prints one, and errors do not quote it.
package answers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"ss-setup/runtime/auth"
	"ss-setup/runtime/model"
)

// ErrInvalid is in every error about answers that cannot be taken as they are.
var ErrInvalid = errors.New("not valid")

// Answers are those of a first set-up. Their names are those of an answers file.
type Answers struct {
	NodeID        string `json:"node_id,omitempty"`
	Description   string `json:"description,omitempty"`
	RecoveryEmail string `json:"recovery_email,omitempty"`
	// SFTPPort is where the first site listens; 0 is 22, or 2222 where that is taken.
	SFTPPort   int         `json:"sftp_port,omitempty"`
	SuperAdmin *SuperAdmin `json:"superadmin,omitempty"`
	FirstSite  *Site       `json:"first_site,omitempty"`
}

// SuperAdmin is the first one.
type SuperAdmin struct {
	Name         string `json:"name,omitempty"`
	Password     string `json:"password,omitempty"`
	PasswordFile string `json:"password_file,omitempty"`
	// TOTP is the authenticator app that was tested in the wizard; no file can say it.
	TOTP model.TOTP `json:"-"`
}

// Site is the first one, with its storage and its first user.
type Site struct {
	Name  string `json:"name,omitempty"`
	Title string `json:"title,omitempty"`
	// Address is where it listens, everywhere if empty.
	Address string `json:"address,omitempty"`
	// Folder is where its files lie.
	Folder    string   `json:"folder,omitempty"`
	Encrypted bool     `json:"encrypted,omitempty"`
	HostKeys  []string `json:"host_keys,omitempty"`
	User      *User    `json:"user,omitempty"`
}

// User is the first one of a site.
type User struct {
	Name         string   `json:"name,omitempty"`
	Email        string   `json:"email,omitempty"`
	Password     string   `json:"password,omitempty"`
	PasswordFile string   `json:"password_file,omitempty"`
	PublicKeys   []string `json:"public_keys,omitempty"`
}

// The values that hold where nothing is said.
const (
	DefaultSuperAdmin = "sa"
	DefaultSite       = "main"
	// DefaultPort is taken by the machine's own SSH server nearly always; OtherPort is
	// then used.
	DefaultPort = 22
	OtherPort   = 2222
)

// defaultHostKeys are the kinds of keys that a site proves itself with.
var defaultHostKeys = []string{"ed25519", "ecdsa"}

// HostKeyAlgorithms are the kinds of host keys that are made, by their names in answers.
var HostKeyAlgorithms = map[string]string{"ed25519": "ssh-ed25519", "ecdsa": "ecdsa-sha2-nistp256"}

// Complete fills in what is not said, but for a port and the node's name: these are
// chosen on the machine.
func (a *Answers) Complete() {
	if a.SuperAdmin != nil && a.SuperAdmin.Name == "" {
		a.SuperAdmin.Name = DefaultSuperAdmin
	}
	s := a.FirstSite
	if s == nil {
		return
	}
	if s.Name == "" {
		s.Name = DefaultSite
	}
	if s.Folder == "" {
		s.Folder = defaultFolder(s.Name)
	}
	if len(s.HostKeys) == 0 {
		s.HostKeys = defaultHostKeys
	}
}

// ReadPasswords reads the files that passwords are kept in.
func (a *Answers) ReadPasswords() error {
	if s := a.SuperAdmin; s != nil {
		if err := readPassword("superadmin", &s.Password, &s.PasswordFile); err != nil {
			return err
		}
	}
	if a.FirstSite != nil && a.FirstSite.User != nil {
		u := a.FirstSite.User
		return readPassword("first_site.user", &u.Password, &u.PasswordFile)
	}
	return nil
}

func readPassword(section string, password, file *string) error {
	if *file == "" {
		return nil
	}
	if *password != "" {
		return fmt.Errorf("%w: %s has both password and password_file; take one of them out", ErrInvalid, section)
	}
	var err error
	if *password, err = FirstLine(*file); err != nil {
		return fmt.Errorf("%w: %s.password_file: %w", ErrInvalid, section, err)
	}
	*file = ""
	return nil
}

// maxLine bounds the file of a password.
const maxLine = 4 << 10

// FirstLine is the first line of a file, as passwords are kept in.
func FirstLine(file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxLine {
		return "", fmt.Errorf("%s is not a file of one line", file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	if line = bytes.TrimSuffix(line, []byte("\r")); len(line) == 0 {
		return "", fmt.Errorf("%s begins with an empty line", file)
	}
	return string(line), nil
}

// Hash puts hashes in the place of passwords in clear text.
func (a *Answers) Hash(ctx context.Context) error {
	h, err := auth.NewHasher(auth.DefaultParams)
	if err != nil {
		return err
	}
	hash := func(password *string) error {
		if *password == "" || hashed(*password) {
			return nil
		}
		var err error
		*password, err = h.Hash(ctx, []byte(*password))
		return err
	}
	if a.SuperAdmin != nil {
		err = hash(&a.SuperAdmin.Password)
	}
	if a.FirstSite != nil && a.FirstSite.User != nil {
		err = errors.Join(err, hash(&a.FirstSite.User.Password))
	}
	return err
}

// hashed tells a password that is given as its hash.
func hashed(password string) bool { return strings.HasPrefix(password, "$argon2id$") }

// changed is when a password of the set-up was chosen.
func changed(now time.Time) time.Time { return now.UTC().Truncate(time.Second) }
