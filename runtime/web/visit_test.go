package web

import "testing"

func TestASentenceBeginsWithACapitalOfAnyAlphabet(t *testing.T) {
	for text, want := range map[string]string{"": "", "it is gone": "It is gone.", "ängstlich": "Ängstlich.", "жар": "Жар.", "日本": "日本.", "Done.": "Done.", "\xffx": "\xffx."} {
		if got := sentence(text); got != want {
			t.Errorf("%q becomes %q, not %q", text, got, want)
		}
	}
}
