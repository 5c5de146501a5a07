package container

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"ss-setup/migrate/archive"
	"ss-setup/migrate/document"
)

var people = Schema{Site: map[string]string{"users": "users", "logs": "logs"}, Past: []string{"logs"}}

// index opens a plain file.
func index(t *testing.T, name string, text []byte) *Set {
	t.Helper()
	f, err := archive.Read(bytes.NewReader(text), int64(len(text)), name)
	if err != nil {
		t.Fatal(err)
	}
	set, err := Index(context.Background(), f, people)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// each counts the documents of a collection.
func each(set *Set, key Key) (n int, err error) {
	err = set.Each(context.Background(), key, nil, func(*document.Value) error { n++; return nil })
	return n, err
}

// TestDocumentsAreBounded: of the smallest ones a small archive has more than fit in any
// memory. Reading them twice counts none twice, and what is past is not kept.
func TestDocumentsAreBounded(t *testing.T) {
	const half = MaxDocuments/2 + 1
	text := bytes.Repeat([]byte("{}\n"), half)
	set := index(t, "users.jsonl", text)
	for range 2 {
		if n, err := each(set, Key{"", "users"}); n != half || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	set.index[Key{"", "users"}] = append(set.index[Key{"", "users"}], &place{key: Key{"", "users"}, entry: set.places[0].entry})
	if _, err := each(set, Key{"", "users"}); !errors.Is(err, archive.ErrHostile) {
		t.Errorf("twice as many: %v", err)
	}
	past := index(t, "logs.jsonl", bytes.Repeat([]byte("{}\n"), MaxDocuments+1))
	if n, err := each(past, Key{"", "logs"}); n != MaxDocuments+1 || err != nil {
		t.Errorf("of the past: %d, %v", n, err)
	}
}

// TestATreeIsReadWhereItsCollectionsBegin: not from its beginning for each of them.
func TestATreeIsReadWhereItsCollectionsBegin(t *testing.T) {
	text := []byte("\xef\xbb\xbf" + `{"users": [ {"a":1}, [{"b":2}], 3 ], "sites":{}, "logs" : {"c":3}}{"users":{}}`)
	set := index(t, "all.json", text)
	if set.Adapter != Tree || len(set.places) != 3 {
		t.Fatalf("%s, %d places", set.Adapter, len(set.places))
	}
	for i, want := range []string{`[ {"a"`, `{"c":3`, `{}`} {
		if begin := set.places[i].begin; !bytes.HasPrefix(text[begin:], []byte(want)) {
			t.Errorf("place %d begins at %.10s", i, text[begin:])
		}
	}
	if n, err := each(set, Key{"", "users"}); n != 4 || err != nil {
		t.Errorf("%d users, %v", n, err)
	}
	if n, err := each(set, Key{"", "logs"}); n != 1 || err != nil {
		t.Errorf("%d logs, %v", n, err)
	}
}

// FuzzTree: what is found in a tree can be read, or is told to be damaged.
func FuzzTree(f *testing.F) {
	for _, seed := range []string{`{"users":[{"a":1},2],"logs":{}}`, `{"users":[1]}{"logs":[]}`, `{"sites":{"x":{"users":[[]]}}}`, "{\"users\":\"", `{"users":}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := archive.Read(bytes.NewReader(text), int64(len(text)), "x.json")
		if err != nil {
			return
		}
		schema := people
		schema.Sites = []string{"sites"}
		set, err := Index(context.Background(), file, schema)
		if err != nil {
			if !errors.Is(err, archive.ErrDamaged) && !errors.Is(err, archive.ErrHostile) {
				t.Error(err)
			}
			return
		}
		for key := range set.index {
			if _, err := each(set, key); err != nil && !errors.Is(err, archive.ErrDamaged) {
				t.Errorf("%s: %v", key, err)
			}
		}
	})
}
