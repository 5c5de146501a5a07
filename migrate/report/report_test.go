package report

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"
)

func TestAReportHasRoomForWhatPeopleHave(t *testing.T) {
	r := New(Source{})
	for i := range 200_000 {
		item := r.Item(User, "main", fmt.Sprint("user", i))
		item.Warn(Passwords, strings.Repeat("x", 100), "set it again")
		item.Done()
	}
	if len(r.Lines) != 200_000 || r.Full() != nil {
		t.Errorf("%d lines, %v", len(r.Lines), r.Full())
	}
}

// TestAReportIsNotFilledByWhatIsHarmless: a source made to do harm has more to tell than
// fits in the memory; what is lost is told as long as there is room, and no further.
func TestAReportIsNotFilledByWhatIsHarmless(t *testing.T) {
	r := New(Source{})
	r.size = maxSize / 2
	r.Warn(Names, "harmless", "")
	if len(r.Lines) != 0 || r.Full() != nil || !strings.Contains(r.Summary(), "1 more lines") {
		t.Errorf("%v, %v, %s", r.Lines, r.Full(), r.Summary())
	}
	item := r.Item(User, "main", "anna")
	item.Drop(Duplicates, "grave", "")
	item.Done()
	if len(r.Losses()) != 1 || r.Full() != nil {
		t.Errorf("%v, %v", r.Losses(), r.Full())
	}
	r.size = maxSize
	r.Item(User, "main", "otto").Drop(Duplicates, "grave", "")
	if !errors.Is(r.Full(), ErrFull) {
		t.Errorf("%v", r.Full())
	}
}

func TestFieldsAreNamedAsLongAsThereIsRoom(t *testing.T) {
	r := New(Source{})
	for i := range 3 * maxFields {
		r.Unknown(fmt.Sprint("users.field", i))
		r.LeftOut(strings.Repeat("y", i), "why")
	}
	fields := r.Fields()
	n := 0
	for _, f := range fields {
		n += f.Count
		if len(f.Path) > maxName+3 {
			t.Errorf("a path has %d bytes", len(f.Path))
		}
	}
	if len(fields) > maxFields+2 || n != 6*maxFields {
		t.Errorf("%d fields, %d counted", len(fields), n)
	}
}

func FuzzAReportShowsNothingButText(f *testing.F) {
	for _, seed := range []string{"anna", "a\nb", "\x1b[2J", "\u202eabc", "\xff", "grüße\u00a0", "\u2028", strings.Repeat("\U0001F600", 100)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := New(Source{Version: text, File: text})
		item := r.Item(User, text, text)
		item.Drop(NotValid, text, text)
		item.Done()
		r.Unknown(text)
		var out bytes.Buffer
		if err := errors.Join(r.WriteText(&out), r.WriteHTML(&out)); err != nil {
			t.Fatal(err)
		}
		for _, c := range out.String() {
			if c != '\n' && !unicode.IsGraphic(c) || c == unicode.ReplacementChar && !strings.ContainsRune(text, c) {
				t.Fatalf("%U in %q", c, out.String())
			}
		}
	})
}
