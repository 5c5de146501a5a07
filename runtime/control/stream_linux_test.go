package control

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestAQuestionBringsItsArguments(t *testing.T) {
	path := socketPath(t)
	serveMe(t, path, map[string]Verb{"greet": func(_ context.Context, r *Request) (any, error) {
		args := struct{ Name string }{"nobody"}
		err := r.Args(&args)
		return "good night " + args.Name, err
	}})
	for name, args := range map[string]any{"nobody": nil, "sa": map[string]string{"name": "sa"}} {
		var got string
		if err := Ask(t.Context(), path, Question{Verb: "greet", Args: args}, &got); err != nil || got != "good night "+name {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := Ask(t.Context(), path, Question{Verb: "greet", Args: 7}, nil); err == nil || !strings.Contains(err.Error(), "read the arguments") {
		t.Errorf("got %v", err)
	}
}

func TestStreams(t *testing.T) {
	content := make([]byte, 5*maxFrame+7)
	rand.Read(content)
	path := socketPath(t)
	serveMe(t, path, map[string]Verb{
		"give": func(_ context.Context, r *Request) (any, error) { return r.Out.Write(content) },
		"break": func(_ context.Context, r *Request) (any, error) {
			_, err := r.Out.Write(content[:10])
			return nil, errors.Join(err, errors.New("the disk is gone"))
		},
		"take": func(_ context.Context, r *Request) (any, error) {
			got, err := io.ReadAll(r.In)
			if err == nil && !bytes.Equal(got, content) {
				err = fmt.Errorf("got %d other bytes", len(got))
			}
			return len(got), err
		},
		"refuse": func(_ context.Context, r *Request) (any, error) {
			_, err := io.CopyN(io.Discard, r.In, 3)
			return nil, errors.Join(err, errors.New("this is no backup"))
		},
		"both": func(_ context.Context, r *Request) (any, error) { return r.In == nil && r.Out == nil, nil },
	})
	t.Run("come back whole, and then the answer", func(t *testing.T) {
		var out bytes.Buffer
		var n int
		if err := Ask(t.Context(), path, Question{Verb: "give", Out: &out}, &n); err != nil || n != len(content) || !bytes.Equal(out.Bytes(), content) {
			t.Errorf("%d of %d bytes, %v", out.Len(), n, err)
		}
	})
	t.Run("that fail bring the reason", func(t *testing.T) {
		var out bytes.Buffer
		if err := Ask(t.Context(), path, Question{Verb: "break", Out: &out}, nil); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
			t.Errorf("%v", err)
		}
	})
	t.Run("go there whole", func(t *testing.T) {
		var n int
		if err := Ask(t.Context(), path, Question{Verb: "take", In: iotest.HalfReader(bytes.NewReader(content))}, &n); err != nil || n != len(content) {
			t.Errorf("%d, %v", n, err)
		}
	})
	t.Run("that the server refuses bring the reason and not a broken pipe", func(t *testing.T) {
		big := io.LimitReader(rand.Reader, 40*maxFrame)
		if err := Ask(t.Context(), path, Question{Verb: "refuse", In: big}, nil); err == nil || err.Error() != "the running server: this is no backup" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("that are cut are not taken for whole ones", func(t *testing.T) {
		broken := io.MultiReader(bytes.NewReader(content), iotest.ErrReader(errors.New("bad sector")))
		if err := Ask(t.Context(), path, Question{Verb: "take", In: broken}, nil); err == nil || !strings.Contains(err.Error(), "bad sector") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("are there only for who asks", func(t *testing.T) {
		var none bool
		if err := Ask(t.Context(), path, Question{Verb: "both"}, &none); err != nil || !none {
			t.Errorf("%v, %v", none, err)
		}
		if err := Ask(t.Context(), path, Question{Verb: "both", In: &bytes.Buffer{}, Out: &bytes.Buffer{}}, nil); err == nil {
			t.Error("two streams at once")
		}
	})
}

func FuzzReadStream(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x03abc\x00\x00\x00\x00"))
	f.Add([]byte("\x00\x00\x00\x03ab"))
	f.Add([]byte("\xff\xff\xff\xffab"))
	f.Add([]byte{0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := io.ReadAll(&frameReader{from: bufio.NewReader(bytes.NewReader(text))})
		if len(got) > len(text) {
			t.Errorf("%d bytes from %d", len(got), len(text))
		}
		if err == nil && (len(text) < 4+len(got)) {
			t.Error("a stream without an end was taken")
		}
	})
}
