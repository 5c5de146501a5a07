package web

import (
	"context"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ss-setup/runtime/audit"
)

// fakeLog has events, the newest first, and remembers what it was asked for.
type fakeLog struct {
	events []audit.Event
	asked  []audit.Filter
}

func (f *fakeLog) Newest(_ context.Context, filter audit.Filter) ([]audit.Event, error) {
	f.asked = append(f.asked, filter)
	var out []audit.Event
	for _, e := range f.events {
		if (filter.Before == 0 || e.Seq < filter.Before) && (filter.Want == nil || filter.Want(&e)) && len(out) < filter.Limit {
			out = append(out, e)
		}
	}
	return out, nil
}

func (f *fakeLog) last() audit.Filter { return f.asked[len(f.asked)-1] }

// logged is a world with a log of n uploads by a hostile user.
func logged(t *testing.T, n int) (*world, *fakeLog) {
	w, log := furnished(t), &fakeLog{}
	for i := n; i > 0; i-- {
		log.events = append(log.events, audit.Event{
			Seq: uint64(i), Time: start, Event: "file.upload", Outcome: audit.Done, By: "user/" + hostile, From: "192.0.2.1", Site: "main",
			Object: "/" + hostile, Message: hostile, Data: json.RawMessage(`{"to":"<script>alert(1)</script>","differences":[{"field":"<b>x</b>","before":"<b>y</b>","after":"<b>z</b>"}]}`),
		})
	}
	w.api.Events = log
	return w, log
}

func TestWhatStandsInTheAuditLogIsText(t *testing.T) {
	w, _ := logged(t, 3)
	b := w.as("sa").get("/audit").says(http.StatusOK, hostile, "uploaded", "<b>z</b>", "to <span")
	for _, tag := range []string{"<img", "<script>alert", "<b>"} {
		if strings.Contains(b.page, tag) {
			t.Errorf("%s is more than text", tag)
		}
	}
	b.get("/audit?q=%3Cscript%3E&by=%22onload%3D%22&since=%3Cscript%3E")
	if strings.Contains(b.page, "<script>\"") || strings.Contains(b.page, `"onload=`) {
		t.Error("what was typed is more than text")
	}
}

func TestTheAuditLogIsSearchedByEverythingThatAnEventHas(t *testing.T) {
	w, log := logged(t, 150)
	b := w.as("sa").get("/audit?q=x&by=admin/otto&site=main&event=file.&outcome=failed&address=192.0.2.1&object=user/main/anna&since=2026-11-22T10:00&until=2026-11-23T10:00")
	b.says(http.StatusOK, `value="admin/otto"`, `<option value="file." selected>`, `<option value="failed" selected>`, "<details open>", "before=51")
	f := log.last()
	if f.Text != "x" || f.By != "admin/otto" || f.Site != "main" || f.Out != "failed" || f.Address != "192.0.2.1" || f.Object != "user/main/anna" ||
		!slices.Equal(f.Events, []string{"file."}) || !f.From.Equal(start) || !f.Until.Equal(start.Add(24*time.Hour)) {
		t.Errorf("%+v", f)
	}
	asked := len(log.asked)
	b.get("/audit?since=yesterday").says(http.StatusUnprocessableEntity, "It is no time", `id="since-wrong"`)
	b.get("/audit.csv?since=yesterday").says(http.StatusUnprocessableEntity, "It is no time")
	if len(log.asked) != asked {
		t.Error("the log was read all the same")
	}
	b.get("/audit").keepsQuiet("<details open>", "data-search") // each letter would read the whole log
}

func TestTheAuditLogIsExportedAsFarAsItIsShown(t *testing.T) {
	w, log := logged(t, 2500)
	log.events[0].Message = "=HYPERLINK(1)"
	b := w.as("sa").get("/audit?event=file.").says(http.StatusOK, "Export as CSV", "/audit.csv?event=file.")
	b.get("/audit.csv?event=file.").says(http.StatusOK, "number,time,event", "'=HYPERLINK(1)").keepsQuiet(",=HYPERLINK")
	if n := strings.Count(b.page, "\n"); n != 2501 || !strings.HasPrefix(b.header.Get("Content-Disposition"), "attachment") || log.last().Events[0] != "file." {
		t.Errorf("%d lines, %v", n, b.header)
	}
	log.events = append(log.events, make([]audit.Event, 30_000)...)
	for i := range log.events {
		log.events[i].Seq = uint64(len(log.events) - i)
	}
	b.get("/audit.csv")
	if n := strings.Count(b.page, "\n"); n != mostExported+1 {
		t.Errorf("%d lines", n)
	}
	log.events[0] = audit.Event{Seq: 99999, Event: "api.login", By: "superadmin/secret"}
	w.as("otto").get("/audit.csv").says(http.StatusOK).keepsQuiet("superadmin/secret")
}

var (
	eventInSource = regexp.MustCompile(`Event(?:: *|, out\.Outcome = | *= )"([a-z]+\.[a-z]+)"|\.Refused\("([a-z.]+)"\)`)
	fileOperation = regexp.MustCompile(`\b(?:observe|failed|change|renameBy|statBy|setstatBy)\((?:id, )?(?:f, )?"([a-z-]+)"`)
)

func TestEveryEventOfTheServerHasWords(t *testing.T) {
	found := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range eventInSource.FindAllStringSubmatch(string(text), -1) {
			found[m[1]+m[2]] = true
		}
		if strings.Contains(filepath.ToSlash(path), "/sftp3/") {
			for _, m := range fileOperation.FindAllStringSubmatch(string(text), -1) {
				found["file."+m[1]] = true
			}
		}
		return err
	})
	check(t, err)
	if len(found) < 30 {
		t.Errorf("only %d events were found in the sources", len(found))
	}
	for event := range found {
		if eventWords[event] == "" {
			t.Errorf("%s has none", event)
		}
	}
}
