package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestAFrontEndEndsARunByOneWordAndByNothingElse(t *testing.T) {
	s := &session{streams: Streams{Front: strings.NewReader("go on\r\ncancel\r\n")}}
	ctx, stop := s.untilCancelled(t.Context())
	defer stop()
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the word ends nothing")
	}
	if err := context.Cause(ctx); !errors.Is(err, errCancelled) || failureOf(err, PutBack).Exit != Cancelled {
		t.Errorf("the cause is %v", err)
	}
	gone, front := io.Pipe()
	s = &session{streams: Streams{Front: gone}}
	ctx, stop = s.untilCancelled(t.Context())
	defer stop()
	_, _ = io.WriteString(front, "cancelled?\n")
	front.Close()
	select {
	case <-ctx.Done():
		t.Errorf("a front end that goes away ends the run: %v", context.Cause(ctx))
	case <-time.After(50 * time.Millisecond):
	}
}

func TestTheVariableOfAFrontEndIsNoMisspeltFlag(t *testing.T) {
	if said := unknownVariables((&programme{}).app(), []string{frontVariable + "=setup.exe"}); len(said) > 0 {
		t.Errorf("it is warned of: %q", said)
	}
}
