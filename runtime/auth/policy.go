package auth

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"ss-setup/runtime/model"
)

// Policy says which passwords may be chosen.
type Policy struct {
	// MinLength is in characters.
	MinLength int
	// Each of these asks for one such character at least.
	Upper, Lower, Digit, Other bool
	// MaxAge is after which a password must be changed; 0 is never.
	MaxAge time.Duration
}

// DefaultPolicy asks for length: it is what keeps guessers out, and what people can
// remember.
func DefaultPolicy() Policy { return Policy{MinLength: 10} }

// PolicyOf is the policy of a rule of the model, which leaves its length to the release
// where it names none.
func PolicyOf(r model.PasswordRule) Policy {
	p := DefaultPolicy()
	if r.MinLength > 0 {
		p.MinLength = r.MinLength
	}
	p.Upper, p.Lower, p.Digit, p.Other = r.Upper, r.Lower, r.Digit, r.Special
	return p
}

// ErrPolicy is in every error of Policy.Check, whose text is for the user.
var ErrPolicy = errors.New("the password is not good enough")

// Check tells what a password lacks.
func (p Policy) Check(user, password string) error {
	var lacks []string
	if !utf8.ValidString(password) {
		lacks = append(lacks, "be text in UTF-8")
	}
	if n := utf8.RuneCountInString(password); n < p.MinLength {
		lacks = append(lacks, fmt.Sprintf("have %d characters at least", p.MinLength))
	}
	if len(password) > MaxPassword {
		lacks = append(lacks, fmt.Sprintf("have %d bytes at most", MaxPassword))
	}
	for _, class := range []struct {
		wanted bool
		what   string
		is     func(rune) bool
	}{
		{p.Upper, "a capital letter", unicode.IsUpper},
		{p.Lower, "a small letter", unicode.IsLower},
		{p.Digit, "a digit", unicode.IsDigit},
		{p.Other, "a character that is no letter and no digit", func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }},
	} {
		if class.wanted && !strings.ContainsFunc(password, class.is) {
			lacks = append(lacks, "have "+class.what)
		}
	}
	if len(user) > 2 && strings.Contains(strings.ToLower(password), strings.ToLower(user)) {
		lacks = append(lacks, "not contain the user's name")
	}
	if one, _ := utf8.DecodeRuneInString(password); password != "" && strings.Trim(password, string(one)) == "" {
		lacks = append(lacks, "be more than one character again and again")
	}
	if len(lacks) == 0 {
		return nil
	}
	return fmt.Errorf("%w: it must %s", ErrPolicy, strings.Join(lacks, ", and "))
}

// Expired tells that a password must be changed for its age.
func (p Policy) Expired(changed, now time.Time) bool {
	return p.MaxAge > 0 && !changed.IsZero() && now.Sub(changed) >= p.MaxAge
}
