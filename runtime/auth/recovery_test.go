package auth

import (
	"strings"
	"testing"
)

func TestARecoveryCodeIsFoundHoweverItIsTyped(t *testing.T) {
	codes, hashes := NewRecovery(8)
	if len(codes) != 8 || len(hashes) != 8 {
		t.Fatal(codes, hashes)
	}
	for i, code := range codes {
		for _, typed := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", ""), " " + strings.ReplaceAll(code, "-", " ") + " "} {
			if got := FindRecovery(hashes, typed); got != i {
				t.Errorf("%q is at %d, want %d", typed, got, i)
			}
		}
		if strings.Contains(hashes[i], strings.ToLower(code[:4])) && strings.Contains(hashes[i], code) {
			t.Error("the hash tells the code")
		}
	}
	for _, wrong := range []string{"", "AAAA-BBBB-CCCC-DDDD", hashes[0]} {
		if got := FindRecovery(hashes, wrong); got != -1 {
			t.Errorf("%q is at %d", wrong, got)
		}
	}
}
