package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ss-setup/runtime/logfile"
)

var day = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, dir string, limits logfile.Limits) *Log {
	t.Helper()
	return Open(dir, limits, func() time.Time { return day }, slog.New(slog.DiscardHandler))
}

func read(t *testing.T, dir string, filter Filter) (events []Event, damaged int) {
	t.Helper()
	for e, err := range Read(t.Context(), dir, filter) {
		switch {
		case errors.Is(err, ErrDamaged):
			damaged++
		case err != nil:
			t.Fatal(err)
		default:
			events = append(events, e)
		}
	}
	return events, damaged
}

func seqs(events []Event) string {
	var out []string
	for _, e := range events {
		out = append(out, fmt.Sprint(e.Seq))
	}
	return strings.Join(out, " ")
}

func TestEventsAreNumberedAcrossRotationsAndStarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	for range 3 {
		l := open(t, dir, logfile.Limits{Size: 600})
		for i := range 10 {
			l.Append(Event{Event: "session.login", By: fmt.Sprint("user/", i), Outcome: Done})
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	events, damaged := read(t, dir, Filter{})
	if len(events) != 30 || damaged != 0 {
		t.Fatalf("%d events, %d damaged", len(events), damaged)
	}
	for i, e := range events {
		if e.Seq != uint64(i+1) || !e.Time.Equal(day) {
			t.Errorf("event %d has number %d, time %v", i, e.Seq, e.Time)
		}
	}
	newest, err := Newest(t.Context(), dir, Filter{Limit: 12})
	if err != nil || len(newest) != 12 || newest[0].Seq != 30 || newest[11].Seq != 19 {
		t.Errorf("newest %s, %v", seqs(newest), err)
	}
	if older, err := Newest(t.Context(), dir, Filter{Limit: 2, Before: 19}); err != nil || seqs(older) != "18 17" {
		t.Errorf("before them %s, %v", seqs(older), err)
	}
}

func TestEventsAreFoundByWhatTheyAre(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := open(t, dir, DefaultLimits())
	for i, e := range []Event{
		{Event: "session.login", By: "user/anna", Site: "main", From: "192.0.2.1", Outcome: Done},
		{Event: "session.login", By: "user/bert", Site: "main", From: "192.0.2.2", Outcome: Refused, Message: "Wrong Password"},
		{Event: "config.change", By: "admin/x", Site: "main", Object: "user/main/anna", Data: json.RawMessage(`{"field":"home"}`)},
		{Event: "session.close", By: "user/anna", Site: "other"},
	} {
		e.Time = day.Add(time.Duration(i) * time.Hour)
		l.Append(e)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for want, filter := range map[string]Filter{
		"1 2 3 4": {},
		"1 2 4":   {Events: []string{"session."}},
		"1 2":     {Events: []string{"session.login"}},
		"1 4":     {By: "user/anna"},
		"2":       {Address: "192.0.2.2"},
		"1 2 3":   {Site: "main"},
		"3":       {Object: "user/main/anna"},
		"2 ":      {Out: Refused},
		" 2":      {Text: "wrong pass"},
		"3 ":      {Text: `"home"`},
		"2 3":     {From: day.Add(time.Hour), Until: day.Add(3 * time.Hour)},
		"3 4":     {After: 2},
		" 1":      {Limit: 1},
		"":        {Events: []string{"session"}},
	} {
		if got, _ := read(t, dir, filter); seqs(got) != strings.TrimSpace(want) {
			t.Errorf("%+v: %s, want %s", filter, seqs(got), want)
		}
	}
}

func TestTheNewestOfATimeAreFoundInAnyFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := open(t, dir, logfile.Limits{Size: 400})
	for i := range 40 {
		l.Append(Event{Event: "a.b", Time: day.Add(time.Duration(i) * time.Hour), By: fmt.Sprint("user/", i%4)})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for want, filter := range map[string]Filter{
		"40 39 38":    {From: day.Add(37 * time.Hour)},
		"12 11 10":    {From: day.Add(9 * time.Hour), Until: day.Add(12 * time.Hour)},
		"9 5 1":       {Before: 13, By: "user/0"},
		"38 34 30 26": {Want: func(e *Event) bool { return e.By == "user/1" }, Limit: 4},
	} {
		if filter.Limit == 0 {
			filter.Limit = 100
		}
		if got, err := l.Newest(t.Context(), filter); err != nil || seqs(got) != want {
			t.Errorf("%+v: %s, %v, want %s", filter, seqs(got), err, want)
		}
	}
}

func TestADamagedLineHidesNoOther(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := open(t, dir, DefaultLimits())
	l.Append(Event{Event: "a.b"})
	l.Close()
	f, err := os.OpenFile(filepath.Join(dir, FileName), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "not JSON\n{}\n%s\n{\"seq\":2,\"event\":\"cut", strings.Repeat("x", maxLine+1))
	f.Close()
	l = open(t, dir, DefaultLimits())
	l.Append(Event{Event: "c.d"})
	l.Close()
	if events, damaged := read(t, dir, Filter{}); seqs(events) != "1 2" || damaged != 4 {
		t.Errorf("%s, %d damaged", seqs(events), damaged)
	}
}

func TestAnEventOfHugeTextsIsCutAndCanBeReadAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	huge := strings.Repeat("<", maxLine)
	l := open(t, dir, logfile.Limits{})
	l.Append(Event{Event: "api.login", By: huge, Object: huge, Message: huge, Data: json.RawMessage(`"` + huge + `"`)})
	l.Append(Event{Event: "session.login"})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	events, damaged := read(t, dir, Filter{})
	if damaged > 0 || seqs(events) != "1 2" || len(events[0].By) > maxText || !strings.Contains(string(events[0].Data), "leftOut") {
		t.Errorf("%d damaged, events %s", damaged, seqs(events))
	}
}

func TestFollowersGetWhatTheyWantUntilTheyAreTooSlow(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "audit"), DefaultLimits())
	defer l.Close()
	events, stop := l.Follow(Filter{Events: []string{"session."}, Text: "anna"})
	l.Append(Event{Event: "config.change", By: "anna"})
	l.Append(Event{Event: "session.login", By: "user/anna"})
	if e := <-events; e.Seq != 2 {
		t.Errorf("got %+v", e)
	}
	stop()
	stop()
	if _, ok := <-events; ok {
		t.Error("still open")
	}
	slow, _ := l.Follow(Filter{})
	for range backlog + 1 {
		l.Append(Event{Event: "a.b"})
	}
	n := 0
	for range slow {
		n++
	}
	if n != backlog {
		t.Errorf("%d events before the end", n)
	}
}

func TestManyAppendAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := open(t, dir, logfile.Limits{Size: 4 << 10})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				l.Append(Event{Event: "a.b"})
			}
		})
	}
	all.Wait()
	l.Close()
	if events, damaged := read(t, dir, Filter{}); len(events) != 1600 || damaged != 0 || !slices.IsSortedFunc(events, func(a, b Event) int { return int(a.Seq) - int(b.Seq) }) {
		t.Errorf("%d events, %d damaged", len(events), damaged)
	}
}

func TestALogThatCannotBeOpenedYetStopsNobody(t *testing.T) {
	parent, now := filepath.Join(t.TempDir(), "log"), day
	l := Open(filepath.Join(parent, "audit"), DefaultLimits(), func() time.Time { return now }, slog.New(slog.DiscardHandler))
	defer l.Close()
	l.Append(Event{Event: "a.lost"})
	if err := os.Mkdir(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	l.Append(Event{Event: "a.lost"})
	if l.Lost() != 2 {
		t.Errorf("%d lost before the pause is over", l.Lost())
	}
	now = now.Add(tryEvery)
	l.Append(Event{Event: "a.kept"})
	if events, _ := read(t, filepath.Join(parent, "audit"), Filter{}); seqs(events) != "3 4" || events[0].Event != GapEvent {
		t.Errorf("%+v", events)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("{\"seq\":1,\"time\":\"2026-11-21T12:00:00Z\",\"event\":\"a.b\"}\n"), "a")
	f.Add([]byte("{\"seq\":18446744073709551615,\"event\":\"a\"}\nx\n\n"), "")
	f.Fuzz(func(t *testing.T, content []byte, text string) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, FileName), content, 0o600); err != nil {
			t.Fatal(err)
		}
		events, damaged := read(t, dir, Filter{})
		if lines := bytes.Count(content, []byte("\n")); len(events)+damaged != lines {
			t.Errorf("%d lines: %d events, %d damaged", lines, len(events), damaged)
		}
		if some, _ := read(t, dir, Filter{Text: text}); len(some) > len(events) {
			t.Error("a filter found more")
		}
	})
}
