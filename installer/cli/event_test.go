package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"ss-setup/installer/txn"
)

// clock goes on by the same step at every look.
func clock(step time.Duration) func() time.Time {
	now := time.Date(2026, 11, 21, 22, 22, 0, 0, time.UTC)
	return func() time.Time {
		now = now.Add(step)
		return now
	}
}

// story tells a console what happens in runs that go well and that do not.
func story(c *console) {
	code := time.Date(2026, 11, 21, 22, 27, 0, 0, time.UTC)
	down := 0.412
	c.emit(Event{Event: eventPlan, Message: "install SS Server 7.0.0", Total: 3, planFields: &planFields{
		Action: "fresh", Hash: strings.Repeat("0f", 32), Notes: []string{"the data of generation 4 are taken over"},
		Questions: []string{"Start with an empty store?"}, Whole: true,
		Plan: json.RawMessage(`{"verb":"install","gate":1,"commit":1,"steps":[` +
			`{"kind":"unpack_release","text":"verify and unpack release 7.0.0-01234567","args":{}},` +
			`{"kind":"switch_generation","text":"put generation 5 in force","args":{}},` +
			`{"kind":"collect","text":"remove releases that no generation uses","args":{}}]}`),
	}})
	c.emit(Event{Event: eventPrompt, Message: "Start with an empty store?", promptFields: &promptFields{Explain: "Nothing is deleted."}})
	c.emit(Event{Event: eventPrompt, Message: "Start with an empty store?", promptFields: &promptFields{Answer: "yes"}})
	step := txn.Event{Type: "step_start", Index: 0, Total: 3, Kind: "unpack_release", Text: "verify and unpack release 7.0.0-01234567"}
	c.engine(step)
	c.advance(10<<20, 40<<20)
	c.advance(40<<20, 40<<20)
	step.Type = "step_done"
	c.engine(step)
	wait := txn.Event{Type: "step_start", Index: 1, Total: 3, Kind: "wait_health", Text: "wait until release 7.0.0 answers"}
	c.engine(wait)
	c.advance(1500, 30000)
	c.warn("/usr/bin/lmu was there before; it is kept and comes back with ss-setup uninstall")
	wait.Type, wait.Err = "step_undone", errors.New("the disk is full")
	c.engine(wait)
	step.Type = "step_undone"
	c.engine(step)
	c.emit(Event{Event: eventResult, Level: levelError, Message: "the release failed; everything was put back", Result: &Result{
		ExitCode: PutBack.Number(), Verb: "install", Outcome: "rolled_back", Cure: "run: ss-setup status\nthen: ss-setup recover",
		Log: "/var/log/ss-setup/20261121T222200.000Z-install.log",
	}})
	c.emit(Event{Event: eventResult, Level: levelError, Message: "the disk is full; not everything could be put back", Result: &Result{
		ExitCode: LeftChanged.Number(), Verb: "install", Outcome: "left", Left: []string{`put back "create folder /etc/ss-server": busy`},
		Cure: "mend what it names, then run: ss-setup recover",
	}})
	c.emit(Event{Event: eventResult, Message: "SS Server 7.0.0 is installed", Result: &Result{
		Verb: "install", Outcome: "committed", Version: "7.0.0", Previous: "6.9.9", Generation: 5, Seconds: 3.1, Downtime: &down,
		URLs:        []string{"https://127.0.0.1:6443/init/setup", "https://192.0.2.7:6443/init/setup"},
		Fingerprint: strings.TrimSuffix(strings.Repeat("AB:", 32), ":"), SetupCode: "ABCD-EFGH", CodeExpires: &code,
		NewCode: "ss-server genssc", Firewall: "ufw", OpenWith: []string{"ufw allow 6443/tcp"},
		LicenseServer: "tiger:2380", LicenseState: "inaccessible", GoBack: "ss-setup rollback",
		Log: "/var/log/ss-setup/20261121T222200.000Z-install.log", Fresh: true,
	}})
}

// tellStory renders the story.
func tellStory(t *testing.T, o output, quiet bool) (out, errs string) {
	t.Helper()
	zone := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = zone })
	var a, b bytes.Buffer
	story(newConsole(Streams{Out: &a, Err: &b}, o, quiet, clock(70*time.Millisecond)))
	return a.String(), b.String()
}

func TestEventsInJSON(t *testing.T) {
	out, errs := tellStory(t, outputJSON, false)
	if errs != "" {
		t.Errorf("something is said besides: %s", errs)
	}
	compareGolden(t, "testdata/golden/events.ndjson", out)
	validate(t, schemaOf(t, "events"), strings.Split(strings.TrimSpace(out), "\n")...)
}

func TestEventsAsPlainLines(t *testing.T) {
	out, errs := tellStory(t, outputAuto, false)
	compareGolden(t, "testdata/golden/events.txt", out+"--- standard error ---\n"+errs)
}

func TestSilentRunSaysOnlyWhatIsWrong(t *testing.T) {
	out, errs := tellStory(t, outputAuto, true)
	if out != "" {
		t.Errorf("standard output: %s", out)
	}
	for _, line := range strings.Split(strings.TrimSpace(errs), "\n") {
		if strings.HasPrefix(line, "[") || strings.Contains(line, "installed") {
			t.Errorf("said: %s", line)
		}
	}
	if !strings.Contains(errs, "everything was put back") || !strings.Contains(errs, "warning") {
		t.Errorf("not said: %s", errs)
	}
}

func TestBarEndsWithTheFinalScreen(t *testing.T) {
	out, _ := tellStory(t, outputBar, false)
	plain, _ := tellStory(t, outputPlain, false)
	_, screen, found := strings.Cut(plain, "\nSS Server 7.0.0 is installed.")
	if !found || !strings.HasSuffix(out, screen) {
		t.Errorf("the bar's last lines are not the final screen:\n%q", out)
	}
}

func TestProgressIsToldTenTimesASecondAtMost(t *testing.T) {
	var out bytes.Buffer
	c := newConsole(Streams{Out: &out, Err: &out}, outputJSON, false, clock(time.Millisecond))
	c.engine(txn.Event{Type: "step_start", Kind: "copy_store", Total: 1})
	for i := range int64(1000) {
		c.advance(i+1, 1000)
	}
	if n := strings.Count(out.String(), eventProgress); n < 9 || n > 22 {
		t.Errorf("%d events in about two seconds", n)
	}
	if !strings.Contains(out.String(), `"bytes":1000`) {
		t.Error("the end of the step is not told")
	}
}

func TestEveryFieldOfAnEventIsInSchemaAndDocument(t *testing.T) {
	content, err := os.ReadFile(docs + "events.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(content, &schema); err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(docs + "events.md")
	if err != nil {
		t.Fatal(err)
	}
	fields := jsonFields(reflect.TypeFor[Event]())
	for _, f := range fields {
		if _, ok := schema.Properties[f]; !ok {
			t.Errorf("%s is not in the schema", f)
		}
		if !strings.Contains(string(doc), "`"+f+"`") {
			t.Errorf("%s is not in docs/events.md", f)
		}
	}
	for f := range schema.Properties {
		if !slices.Contains(fields, f) {
			t.Errorf("no event has the field %s of the schema", f)
		}
	}
}

func jsonFields(typ reflect.Type) []string {
	var names []string
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.Anonymous {
			names = append(names, jsonFields(f.Type.Elem())...)
			continue
		}
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "-" {
			names = append(names, name)
		}
	}
	return names
}

func TestDowntimeOfARunThatWentBackEndsWhenTheServiceIsBack(t *testing.T) {
	c := newConsole(Streams{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}}, outputPlain, false, time.Now)
	c.stopped()
	if c.downtime != nil {
		t.Fatal("measured before the end")
	}
	c.engine(txn.Event{Type: "step_undone", Kind: "stop_service"})
	if c.downtime == nil {
		t.Error("not measured")
	}
}
