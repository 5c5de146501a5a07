package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"ss-setup/installer/plan"
)

// terminal is a person who can be asked.
type terminal struct {
	in  io.Reader
	out io.Writer
	// lines are what was typed; read by one goroutine, since nothing ends a read.
	lines chan string
}

// openTerminal finds the person: on standard input, or, when that is a script
// that is piped in, on the terminal that the process belongs to. It is nil when
// there is none, or when another job has the terminal.
func openTerminal() *terminal {
	if term.IsTerminal(int(os.Stdin.Fd())) {
		if !inForeground(os.Stdin) {
			return nil
		}
		return &terminal{in: os.Stdin, out: deaf{firstTerminal(os.Stderr, os.Stdout, os.Stdin)}}
	}
	tty, err := os.OpenFile(ttyPath, os.O_RDWR, 0)
	if err != nil || !inForeground(tty) {
		return nil
	}
	return &terminal{in: tty, out: deaf{tty}}
}

func firstTerminal(files ...*os.File) *os.File {
	for _, f := range files {
		if term.IsTerminal(int(f.Fd())) {
			return f
		}
	}
	return files[0]
}

// readLine waits for an answer in lower case, or for the end of ctx.
func (t *terminal) readLine(ctx context.Context) (string, error) {
	line, err := t.read(ctx)
	return strings.ToLower(strings.TrimSpace(line)), err
}

// line puts a question and returns what was typed; a secret is not shown.
func (t *terminal) line(ctx context.Context, question string, secret bool) (string, error) {
	fmt.Fprint(t.out, question)
	if f, ok := t.in.(*os.File); ok && secret {
		show, err := hideTyping(f)
		if err != nil {
			return "", fmt.Errorf("hide what is typed: %w", err)
		}
		defer fmt.Fprintln(t.out)
		defer show()
	}
	line, err := t.read(ctx)
	if err == io.EOF {
		err = errCancelled
	}
	return line, err
}

// read waits for a line, or for the end of ctx.
func (t *terminal) read(ctx context.Context) (string, error) {
	if t.lines == nil {
		t.lines = make(chan string)
		go func() {
			defer close(t.lines)
			for s := bufio.NewScanner(t.in); s.Scan(); {
				t.lines <- s.Text()
			}
		}()
	}
	select {
	case line, ok := <-t.lines:
		if !ok {
			return "", io.EOF
		}
		return line, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// ask puts a question until it is answered with yes or no.
func (t *terminal) ask(ctx context.Context, q plan.Question) (bool, error) {
	for {
		fmt.Fprintf(t.out, "%s [yes/no/explain] ", q.Text)
		answer, err := t.readLine(ctx)
		if err != nil {
			fmt.Fprintln(t.out)
			if err == io.EOF {
				return false, nil
			}
			return false, err
		}
		switch answer {
		case "y", "yes":
			return true, nil
		case "n", "no":
			return false, nil
		case "e", "explain", "?":
			fmt.Fprintf(t.out, "%s\n", q.Explain)
		}
	}
}

// confirm asks what a proposal wants to have answered. Nobody to ask means that
// --yes must have been given.
func (s *session) confirm(ctx context.Context, p *plan.Proposal) error {
	for _, q := range p.Confirm {
		q.Explain = s.names.text(q.Explain)
		if s.options.Yes {
			s.log.Info("answered by --yes", "question", q.Text)
			continue
		}
		s.out.emit(Event{Event: eventPrompt, Message: q.Text, promptFields: &promptFields{Explain: q.Explain}})
		if s.streams.Ask == nil || s.options.Silent {
			return &Failure{
				Exit: WrongUsage, Err: fmt.Errorf("nobody can be asked: %s", q.Text),
				Cure: "to answer yes, run: " + s.command("--yes"),
			}
		}
		yes, err := s.streams.Ask.ask(ctx, q)
		if err != nil {
			return &Failure{Exit: Cancelled, Err: fmt.Errorf("%w; nothing was changed", err)}
		}
		s.log.Info("answered", "question", q.Text, "yes", yes)
		if !yes {
			s.out.emit(Event{Event: eventPrompt, Message: q.Text, promptFields: &promptFields{Answer: "no"}})
			return &Failure{Exit: Cancelled, Err: fmt.Errorf("%w; nothing was changed", errCancelled)}
		}
		s.out.emit(Event{Event: eventPrompt, Message: q.Text, promptFields: &promptFields{Answer: "yes"}})
	}
	return nil
}
