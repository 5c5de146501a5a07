package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"
)

var made = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func header() Header {
	return Header{Version: "7.0.0", Schema: 1, Made: made, Node: "romantic-lovelace"}
}

// memory is a source and a sink.
type memory struct {
	files   []File
	objects []Object
	fail    error // of the object at the end

	calls []string
	// failAt makes the sink refuse the call of that name.
	failAt string
}

func (m *memory) Files(context.Context) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		for _, f := range m.files {
			if !yield(f, nil) {
				return
			}
		}
	}
}

func (m *memory) Objects(context.Context) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for _, o := range m.objects {
			if !yield(o, nil) {
				return
			}
		}
		if m.fail != nil {
			yield(Object{}, m.fail)
		}
	}
}

func (m *memory) call(name string) error {
	m.calls = append(m.calls, name)
	if name == m.failAt {
		return errors.New("the sink is full")
	}
	return nil
}

func (m *memory) Begin(h Header) error { return m.call("begin " + h.Node) }
func (m *memory) PutFile(f File) error {
	m.files = append(m.files, f)
	return m.call("file " + f.Name)
}

func (m *memory) Put(o Object) error {
	m.objects = append(m.objects, Object{o.Kind, bytes.Clone(o.JSON)})
	return m.call("object " + o.Kind)
}
func (m *memory) Commit() error { return m.call("commit") }
func (m *memory) Abort() error  { return m.call("abort") }

// small is a server with a little of everything.
func small() *memory {
	return &memory{
		files: []File{{"keyring/master-1.key", []byte("{\"key\":\"c2VjcmV0\"}\n")}, {"keyring/empty.key", nil}},
		objects: []Object{
			{"node", []byte(`{"name":"romantic-lovelace"}`)},
			{"user", []byte(`{"name":"anna","site":"main"}`)},
			{"user", []byte(`{"name":"büro \"2\"","site":"main"}`)},
		},
	}
}

func write(t testing.TB, src Source, opt WriteOptions) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := Write(t.Context(), &out, header(), src, opt); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// restore opens and restores; what came out and how it ended.
func restore(t testing.TB, file []byte, opt ReadOptions) (*memory, Summary, error) {
	t.Helper()
	m := &memory{}
	a, err := Open(bytes.NewReader(file), int64(len(file)), opt)
	if err != nil {
		return m, Summary{}, err
	}
	s, err := a.Restore(t.Context(), m)
	return m, s, err
}

func (m *memory) equal(other *memory) bool {
	return slices.EqualFunc(m.files, other.files, func(a, b File) bool { return a.Name == b.Name && bytes.Equal(a.Content, b.Content) }) &&
		slices.EqualFunc(m.objects, other.objects, func(a, b Object) bool { return a.Kind == b.Kind && bytes.Equal(a.JSON, b.JSON) })
}

// many is a source of n users that holds none of them.
type many struct{ n int }

func (many) Files(context.Context) iter.Seq2[File, error] { return func(func(File, error) bool) {} }

func (m many) Objects(context.Context) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		var line []byte
		for i := range m.n {
			line = fmt.Appendf(line[:0], `{"name":"user%06d","site":"main","email":"user%06d@example.org","password":{"hash":"$argon2id$v=19$m=19456,t=2,p=1$%016x%016x$%064x"},"notes":"`, i, i, i*7919, i*104729, i*1299709)
			for k := range 24 {
				line = fmt.Appendf(line, "%x ", (i+k)*15485863)
			}
			if line = append(line, `"}`...); !yield(Object{"user", line}, nil) {
				return
			}
		}
	}
}
