package web

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"ss-setup/runtime/model"
)

// cellsElsewhere are the cells that a program for tables makes of a line where the list separator
// is another one than the comma: quotes count at the beginning of a cell only.
func cellsElsewhere(text, separator string) (cells []string) {
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r", "\n"), "\n") {
		for cell := range strings.SplitSeq(line, separator) {
			cells = append(cells, strings.TrimLeft(cell, " \t\""))
		}
	}
	return cells
}

func TestNoProgramForTablesFindsAFormulaInAnExportWhateverSeparatesItsCells(t *testing.T) {
	const evil = `=cmd|' /C calc'!A0`
	w := furnished(t)
	for _, before := range []string{"", " ", "x;", "x; ", "x,", "x\t", "x\n", "x\r\n", "a,b;", `x;"`, `x;" "`, "x;'\n"} {
		text := before + evil + `;y`
		w.pass(2 * time.Minute) // who guesses waits
		w.browser().post("/login", url.Values{"name": {text}, "password": {"x"}}).says(http.StatusUnauthorized)
		w.write(&model.User{Head: model.Head{Name: "evil"}, Site: "main", Description: text})
		exports := w.as("sa").get("/sites/main/users.csv").page
		for _, e := range w.audit.of("api.login") {
			exports += "\n" + harmless(e.By)
		}
		for _, separator := range []string{",", ";", "\t"} {
			for _, cell := range cellsElsewhere(exports, separator) {
				if strings.HasPrefix(cell, "=") {
					t.Errorf("%q: the cell %q between %q", text, cell, separator)
				}
			}
		}
	}
}

func TestAnExportOfEventsHasOneLineForEach(t *testing.T) {
	w, log := logged(t, 3)
	log.events[1].Message = "a\nb\tc\r\n=d"
	b := w.as("sa").get("/audit.csv").says(http.StatusOK, "a b c =d")
	if n := strings.Count(b.page, "\n"); n != 4 || strings.Contains(b.page, "\r") {
		t.Errorf("%d lines: %q", n, b.page)
	}
}

func FuzzHarmless(f *testing.F) {
	for _, seed := range []string{"", "=", "'=", "''=x", "a;=b", "a;'=b", "a, -b", "a\n\"@b", "\t=", "a;;=", "=;=;=", "x;\"\"=", "＝1"} {
		f.Add(seed)
	}
	begins := regexp.MustCompile(`(^|[;,\t\r\n])[\s"]*[=+\-@]`)
	f.Fuzz(func(t *testing.T, text string) {
		safe := harmless(text)
		if begins.MatchString(safe) {
			t.Errorf("%q became %q", text, safe)
		}
		if got := original(safe); got != text {
			t.Errorf("%q became %q and %q", text, safe, got)
		}
	})
}
