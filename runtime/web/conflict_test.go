package web

import (
	"regexp"
	"testing"
)

func TestWhenAnObjectWasChangedLastReadsAsOtherDatesWithoutAScript(t *testing.T) {
	b := furnished(t).as("sa").get("/sites/main/users/anna")
	if !regexp.MustCompile(`Changed last by [^<]*<time [^>]*>\d+ [A-Z][a-z]+ \d{4}, \d\d:\d\d UTC</time>`).MatchString(b.page) {
		t.Error(b.words())
	}
}
