package main

import (
	"slices"
	"testing"

	"ss-setup/migrate/report"
)

func TestAnImportMayLoseLessThanWasAgreedToAndNothingElse(t *testing.T) {
	loss := func(name, what string) report.Line {
		return report.Line{Rule: report.VFSType, Outcome: report.Action, Kind: report.VFS, Site: "main", Name: name, What: what, Loss: true}
	}
	agreed := []report.Line{loss("a", "its folder is missing"), loss("a", "its key is new: x"), loss("b", "its folder is missing")}
	for name, lines := range map[string][]report.Line{
		"nothing":       nil,
		"less":          {loss("b", "its folder is missing")},
		"the same":      agreed,
		"another order": {agreed[2], agreed[0], agreed[1]},
		"other words":   {agreed[0], loss("a", "its key is new: y"), agreed[2]},
	} {
		if !withinLosses(agreed, lines) {
			t.Errorf("%s is refused", name)
		}
	}
	admin := loss("a", "its folder is missing")
	admin.Kind = report.User
	for name, lines := range map[string][]report.Line{
		"another one":          {loss("c", "its folder is missing")},
		"another in its place": {agreed[0], agreed[1], loss("c", "its folder is missing")},
		"another kind":         {admin},
		"one more of the same": slices.Concat(agreed, agreed[2:]),
	} {
		if withinLosses(agreed, lines) {
			t.Errorf("%s is let in", name)
		}
	}
}
