package guide

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"unicode/utf16"
)

// recorder is a screen that remembers.
type recorder struct {
	bars    []int
	texts   []string
	details []string
	back    int
}

func (r *recorder) Progress(bar int, text string) {
	r.bars, r.texts = append(r.bars, bar), append(r.texts, text)
}
func (r *recorder) GoingBack()         { r.back++ }
func (r *recorder) Detail(line string) { r.details = append(r.details, line) }

// golden are the events that ss-setup's own tests pin.
const golden = "../../../installer/cli/testdata/golden/events.ndjson"

func TestEveryKindOfEventOfSsSetupIsShown(t *testing.T) {
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	var r recorder
	end, err := Follow(bytes.NewReader(text), &r)
	if err != nil {
		t.Fatal(err)
	}
	if end.Action != "fresh" || end.Outcome != "committed" || end.Version != "7.0.0" || len(end.URLs) != 2 || end.SetupCode == "" {
		t.Errorf("the ending is %+v", end)
	}
	if r.back != 1 {
		t.Errorf("it was told %d times that the run goes back", r.back)
	}
	// Steps 1 and 2 of 3 go on, come to an end and back; the last result fills the bar.
	want := []int{0, Full / 12, Full / 3, Full / 3, Full / 3, Full/3 + Full/60, Full / 3, 0, Full}
	if len(r.bars) != len(want) {
		t.Fatalf("the bar was moved to %v, want %v", r.bars, want)
	}
	for i := range want {
		if r.bars[i] != want[i] {
			t.Errorf("move %d of the bar was to %d, want %d (%s)", i, r.bars[i], want[i], r.texts[i])
		}
	}
	if r.texts[1] != "Verify and unpack release 7.0.0-01234567 (10.0 of 40.0 MiB)" {
		t.Errorf("a step that counts bytes is shown as %q", r.texts[1])
	}
	all := strings.Join(r.details, "\n")
	for _, want := range []string{
		"[1/3] verify and unpack release", "Warning: /usr/bin/lmu was there before",
		"[2/3] could not put back: wait until release 7.0.0 answers: the disk is full", "[1/3] put back: verify",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("the details lack %q:\n%s", want, all)
		}
	}
}

func TestAFailureTellsTheSentenceTheCureAndTheLog(t *testing.T) {
	end, err := Follow(strings.NewReader(
		`{"event":"result","message":"the release failed; everything was put back","exit_code":1603,"outcome":"rolled_back","cure":"mend it, then run: ss-setup recover","left":["one","two"],"log":"C:\\a b.log"}`+"\n"), &recorder{})
	if err != nil {
		t.Fatal(err)
	}
	want := `The release failed; everything was put back.

What to do:
Mend it, then run: ss-setup recover

What could not be put back:
one
two

Log: C:\a b.log
`
	if got := end.Text(); got != want {
		t.Errorf("it tells\n%s\nwant\n%s", got, want)
	}
}

func TestWhatTheWizardOffersIsWhatSsSetupWouldDo(t *testing.T) {
	for name, c := range map[string]struct {
		end  Ending
		want string
	}{
		"nothing there":      {Ending{Action: "fresh", Outcome: "planned"}, "fresh"},
		"an older version":   {Ending{Action: "update", Outcome: "planned"}, "update"},
		"this very release":  {Ending{Outcome: "nothing"}, Same},
		"a newer version":    {Ending{ExitCode: 1638, Outcome: "refused"}, Refused},
		"a check that fails": {Ending{Action: "fresh", ExitCode: 15613, Outcome: "refused"}, Refused},
	} {
		if got := c.end.Proposed(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestARunThatSaysNothingIsAFailure(t *testing.T) {
	if _, err := Follow(strings.NewReader("panic: no\n"), &recorder{}); err == nil {
		t.Fatal("no error")
	}
	end := Unsaid(2, ErrNoResult)
	if end.Proposed() != Refused || !strings.Contains(end.Text(), "exit code 2") || !strings.Contains(end.Text(), "Run this setup again") {
		t.Errorf("%+v", end)
	}
}

// utf8Of reads what WriteText wrote.
func utf8Of(t *testing.T, raw []byte) string {
	t.Helper()
	if len(raw)%2 != 0 || !bytes.HasPrefix(raw, []byte{0xff, 0xfe}) {
		t.Fatalf("%d bytes that begin with % x are no UTF-16", len(raw), raw[:min(2, len(raw))])
	}
	var units []uint16
	for i := 2; i < len(raw); i += 2 {
		units = append(units, uint16(raw[i])|uint16(raw[i+1])<<8)
	}
	return string(utf16.Decode(units))
}

func TestAnAnswerIsOneShortLineForEachName(t *testing.T) {
	end := Ending{
		Message: "lines\r\nand a\ttab, Жук 🐞", Cure: strings.Repeat("🐞", 2*shortLimit),
		URLs: []string{"https://a/", "https://b/"}, Questions: []string{"One?", "Two?"},
	}
	var out bytes.Buffer
	if err := WriteAnswer(&out, end.Answer("update")); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(utf8Of(t, out.Bytes()), "\r\n"), "\r\n")
	if lines[0] != "[answer]" || len(lines) != len(end.Answer(""))+1 {
		t.Fatalf("%q", lines)
	}
	for _, want := range []string{`message=Lines\nand a tab, Жук 🐞.`, "action=update", "url=https://a/", `questions=One?\nTwo?`, "exit=0"} {
		if !strings.Contains(strings.Join(lines, "\n")+"\n", want+"\n") {
			t.Errorf("no line %s in %q", want, lines)
		}
	}
	for _, line := range lines {
		if n := len(utf16.Encode([]rune(line))); n > shortLimit+20 {
			t.Errorf("a line has %d letters; NSIS takes 1023", n)
		}
	}
}

// What is not from ss-setup must not stop the wizard either.
func FuzzFollow(f *testing.F) {
	text, err := os.ReadFile(golden)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"event":"step_progress","index":-1,"total":9223372036854775807,"percent":-5}` + "\n" + `{"event":"result"}`))
	f.Add([]byte("{\"event\":\"result\",\"message\":\"\xff\"}\n\x00{}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var r recorder
		end, err := Follow(bytes.NewReader(raw), &r)
		for i, bar := range r.bars {
			if bar < 0 || bar > Full {
				t.Errorf("move %d of the bar is to %d", i, bar)
			}
		}
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := WriteAnswer(&out, end.Answer(end.Proposed())); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(utf8Of(t, out.Bytes()), "\n"); n != len(end.Answer(""))+1 {
			t.Errorf("an answer has %d lines", n)
		}
		_ = end.Text()
	})
}
