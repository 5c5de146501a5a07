package engine_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	goldenStore   = "testdata/schema1.txt"
	goldenObjects = "testdata/schema1.json"
	goldenKey     = "testdata/master-0001.key"
	goldenSecret  = "JBSWY3DPEHPK3PXPJBSWY3DP"
)

// TestAStoreOfSchemaOneIsReadForEver builds the store that version 7.0.0 wrote, record by
// record, and compares what is read of it. Later schemas migrate it first and keep this
// file. -update is for the time before the release only.
func TestAStoreOfSchemaOneIsReadForEver(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	w := newWorld(t)
	w.close(t)
	key, err := os.ReadFile(goldenKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.ring, filepath.Base(goldenKey)), key, 0o600); err != nil {
		t.Fatal(err)
	}
	fill(t, schema().Path(w.dir))
	w.open(t)
	w.sound(t)
	want, err := os.ReadFile(goldenObjects)
	if err != nil {
		t.Fatal(err)
	}
	if got := objectsOf(t, w); got != string(want) {
		t.Errorf("the objects are\n%s", got)
	}
	u := w.user(t, "anna")
	if secret, err := w.Reveal(u.Key(), "totp.secret", u.TOTP.Secret); err != nil || secret != goldenSecret {
		t.Errorf("the secret is %q, %v", secret, err)
	}
	if ids, _ := w.ids(t, engine.Query{Kind: model.KindUser, Site: "main", Text: "anna@example"}); len(ids) != 1 {
		t.Errorf("the search finds %v", ids)
	}
}

// fill puts the records of the golden file into a new store, in the place of its own.
func fill(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(goldenStore)
	if err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		lines := bufio.NewScanner(bytes.NewReader(text))
		for lines.Scan() {
			words := strings.Split(lines.Text(), " ")
			outer, inner, _ := strings.Cut(words[0], "/")
			b := tx.Bucket([]byte(outer))
			if inner != "" {
				b = b.Bucket([]byte(inner))
			}
			row, err := base64.StdEncoding.DecodeString(words[1])
			if err != nil {
				return err
			}
			value, err := base64.StdEncoding.DecodeString(words[2])
			if err != nil {
				return err
			}
			if err := b.Put(row, value); err != nil {
				return err
			}
		}
		return lines.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// objectsOf is all objects as JSON lines.
func objectsOf(t *testing.T, w *world) string {
	t.Helper()
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	w.read(t, func(r *engine.Reader) error {
		for _, kind := range model.Kinds() {
			for o, err := range r.All(kind) {
				if err != nil {
					return err
				}
				if err := encoder.Encode(map[model.Kind]model.Object{kind: o}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return out.String()
}

// writeGolden makes a store of the objects that package model's golden file has.
func writeGolden(t *testing.T) {
	t.Helper()
	w := newWorld(t)
	file, err := os.Open("../model/testdata/objects.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w.write(t, func(tx *engine.Tx) error {
		for in := json.NewDecoder(file); in.More(); {
			var item map[model.Kind]json.RawMessage
			if err := in.Decode(&item); err != nil {
				return err
			}
			for kind, text := range item {
				o := kind.New()
				if err := json.Unmarshal(text, o); err != nil {
					return err
				}
				// The settings name a certificate of the whole server.
				if c, ok := o.(*model.Certificate); ok {
					c.Site = ""
				}
				for _, f := range o.Secrets() {
					*f.Secret = model.Secret{Clear: goldenSecret}
				}
				if err := tx.Put(o); err != nil {
					return fmt.Errorf("%s: %w", o.Key(), err)
				}
			}
		}
		return nil
	})
	gone := user("gone")
	w.write(t, create(gone))
	w.write(t, func(tx *engine.Tx) error { return tx.Delete(gone.Key(), 0) })
	if _, err := w.TakeStep(model.UserKey("main", "anna"), 12345); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(w.ring, filepath.Base(goldenKey)))
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{goldenStore: dump(t, w), goldenObjects: objectsOf(t, w), goldenKey: string(key)} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// dump is every record of the engine's buckets: bucket, key and value.
func dump(t *testing.T, w *world) string {
	t.Helper()
	var out strings.Builder
	var walk func(name string, b *bbolt.Bucket) error
	walk = func(name string, b *bbolt.Bucket) error {
		return b.ForEach(func(row, value []byte) error {
			if value == nil {
				return walk(name+"/"+string(row), b.Bucket(row))
			}
			_, err := fmt.Fprintf(&out, "%s %s %s\n", name, base64.StdEncoding.EncodeToString(row), base64.StdEncoding.EncodeToString(value))
			return err
		})
	}
	err := w.store.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			if string(name) == "meta" {
				return nil
			}
			return walk(string(name), b)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}
