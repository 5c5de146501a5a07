package upload

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Password logs in by a password, also where the server asks for it as a question.
func Password(password string) []ssh.AuthMethod {
	return []ssh.AuthMethod{
		ssh.Password(password),
		ssh.KeyboardInteractive(func(_, _ string, questions []string, echo []bool) ([]string, error) {
			switch len(questions) {
			case 0:
				return nil, nil
			case 1:
				// A password shown on a screen is none, and a code is another thing.
				if echo[0] || asksForCode(questions[0]) {
					return nil, fmt.Errorf("the server asks %.80q, which the password does not answer; let the user log in by key meanwhile", questions[0])
				}
				return []string{password}, nil
			}
			return nil, fmt.Errorf("the server asks %d questions, and a password answers one; let the user log in by key meanwhile", len(questions))
		}),
	}
}

// codes are words of questions for a one-time code.
var codes = []string{"code", "otp", "one-time", "one time", "token", "verification", "pin", "passcode", "factor"}

func asksForCode(question string) bool {
	question = strings.ToLower(question)
	return slices.ContainsFunc(codes, func(word string) bool { return strings.Contains(question, word) })
}

// KeyFile logs in by a private key, which may be encrypted.
func KeyFile(file, passphrase string) (ssh.AuthMethod, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the key to log in by: %w", err)
	}
	parse := func() (ssh.Signer, error) { return ssh.ParsePrivateKey(text) }
	if passphrase != "" {
		parse = func() (ssh.Signer, error) { return ssh.ParsePrivateKeyWithPassphrase(text, []byte(passphrase)) }
	}
	signer, err := parse()
	if err != nil {
		return nil, fmt.Errorf("read the key %s: %w", file, err)
	}
	return ssh.PublicKeys(signer), nil
}
