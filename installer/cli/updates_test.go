package cli

import (
	"strings"
	"testing"

	"ss-setup/installer/bundle/trust"
)

// What is kept of a check is read by many and typed again: no secret of the address is
// in it, and no letter that a shell takes for more than text.
func TestAFoundUpdateKeepsNoSecretOfTheAddressAndCanBeTyped(t *testing.T) {
	s := &session{settings: settings{from: "https://user:sesame@releases.example/a;b/ss?token=sesame#sesame"}}
	u := s.updateOf(trust.Release{Version: "7.0.1", Digest: "0123456789abcdef"})
	if strings.Contains(u.From, "sesame") {
		t.Errorf("it comes from %s", u.From)
	}
	if want := "--from " + shellWord("https://releases.example/a;b/ss"); !strings.Contains(u.command(), want) {
		t.Errorf("the command is %s, want %s in it", u.command(), want)
	}
}
