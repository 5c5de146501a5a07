package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"ss-setup/installer/plan"
)

func TestQuestionIsAskedUntilItIsAnswered(t *testing.T) {
	for typed, want := range map[string]bool{
		"yes\n": true, "Y\n": true, "no\n": false, "n\n": false, "": false,
		"perhaps\n\nexplain\n  YES \n": true,
	} {
		var out bytes.Buffer
		tty := &terminal{in: strings.NewReader(typed), out: &out}
		got, err := tty.ask(t.Context(), plan.Question{Text: "Go on?", Explain: "It cannot be undone."})
		if err != nil || got != want {
			t.Errorf("%q: %v, %v", typed, got, err)
		}
		if explained := strings.Contains(out.String(), "cannot be undone"); explained != strings.Contains(typed, "explain") {
			t.Errorf("%q: explained is %v", typed, explained)
		}
	}
}

func TestWaitingForAnAnswerEndsWithTheRun(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errCancelled)
	never, _ := io.Pipe()
	tty := &terminal{in: never, out: io.Discard}
	if _, err := tty.ask(ctx, plan.Question{Text: "Go on?"}); !errors.Is(err, errCancelled) {
		t.Errorf("got %v", err)
	}
}

func confirming(st Streams, o plan.Options) error {
	if st.Out == nil {
		st.Out, st.Err = io.Discard, io.Discard
	}
	s := newSession(settings{verb: "uninstall", args: []string{"uninstall", "--purge"}, options: o, output: outputPlain}, st)
	return s.confirm(context.Background(), &plan.Proposal{Confirm: []plan.Question{{Text: "Remove?"}, {Text: "Really?"}}})
}

func TestEveryQuestionNeedsAYes(t *testing.T) {
	answers := func(typed string) Streams {
		return Streams{Ask: &terminal{in: strings.NewReader(typed), out: io.Discard}}
	}
	if err := confirming(answers("yes\nyes\n"), plan.Options{}); err != nil {
		t.Error(err)
	}
	if err := confirming(answers("yes\nno\n"), plan.Options{}); failureOf(err, PutBack).Exit != Cancelled {
		t.Errorf("no: %v", err)
	}
	if err := confirming(Streams{}, plan.Options{Yes: true}); err != nil {
		t.Error(err)
	}
}

func TestNobodyToAskNamesTheFlag(t *testing.T) {
	for name, err := range map[string]error{
		"no terminal": confirming(Streams{}, plan.Options{}),
		"silent":      confirming(Streams{Ask: &terminal{in: strings.NewReader("yes\n")}}, plan.Options{Silent: true}),
	} {
		f := failureOf(err, PutBack)
		if f.Exit != WrongUsage || !strings.HasSuffix(f.Cure, calledAs()+" uninstall --purge --yes") {
			t.Errorf("%s: exit %d, cure %q", name, f.Exit, f.Cure)
		}
	}
}

func TestWhatIsTypedForALineStaysAsItIs(t *testing.T) {
	var out strings.Builder
	tty := &terminal{in: strings.NewReader(" Sesame Öffne \nYES\n"), out: &out}
	got, err := tty.line(t.Context(), "Password: ", true)
	if err != nil || got != " Sesame Öffne " || out.String() != "Password: " {
		t.Errorf("%q, %v, shown %q", got, err, out.String())
	}
	if yes, err := tty.ask(t.Context(), plan.Question{Text: "Go on?"}); !yes || err != nil {
		t.Errorf("%v, %v", yes, err)
	}
	if _, err := tty.line(t.Context(), "Name: ", false); !errors.Is(err, errCancelled) {
		t.Errorf("at the end: %v", err)
	}
}
