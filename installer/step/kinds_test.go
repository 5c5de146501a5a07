package step

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// update writes files for kinds that have none; a file once released stays as it is.
var update = flag.Bool("update", false, "write the golden files of new kinds")

// A journal may be read by a newer ss-setup than the one that wrote it, and a
// receipt by any later one: the kinds and fields of testdata/kinds must keep
// their meaning for ever.
func TestAStepOnceReleasedCanBeReadForEver(t *testing.T) {
	for kind, empty := range Kinds() {
		t.Run(kind, func(t *testing.T) {
			file := filepath.Join("testdata", "kinds", kind+".json")
			golden, err := os.ReadFile(file)
			if os.IsNotExist(err) && *update {
				full := empty()
				fill(reflect.ValueOf(full).Elem())
				golden = encodedPlan(t, full)
				err = os.WriteFile(file, golden, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			p, err := Kinds().Decode(golden)
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Steps) != 1 || p.Steps[0].Kind() != kind {
				t.Fatalf("read as %v", p.Steps)
			}
			if lost := lostFields(args(t, golden), args(t, encodedPlan(t, p.Steps[0]))); lost != "" {
				t.Errorf("not read any more: %s", lost)
			}
		})
	}
}

func TestNoKindThatWasReleasedIsGone(t *testing.T) {
	files, err := filepath.Glob("testdata/kinds/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if kind := strings.TrimSuffix(filepath.Base(f), ".json"); Kinds()[kind] == nil {
			t.Errorf("%s is not known any more", kind)
		}
	}
}

func TestEveryFieldOfAStepIsKeptInAPlan(t *testing.T) {
	for kind, empty := range Kinds() {
		full := empty()
		fill(reflect.ValueOf(full).Elem())
		encoded, err := json.Marshal(Plan{Verb: "test", Steps: []Step{full}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := Kinds().Decode(encoded)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if !reflect.DeepEqual(p.Steps[0], full) {
			t.Errorf("%s was %+v and is read as %+v", kind, full, p.Steps[0])
		}
	}
}

func TestEveryKindHasASentence(t *testing.T) {
	for kind, empty := range Kinds() {
		full := empty()
		fill(reflect.ValueOf(full).Elem())
		if text := full.String(); text == "" || strings.HasSuffix(text, ".") || strings.Contains(text, "%!") {
			t.Errorf("%s says %q", kind, text)
		}
	}
}

func encodedPlan(t *testing.T, s Step) []byte {
	t.Helper()
	encoded, err := json.MarshalIndent(Plan{Verb: "test", Steps: []Step{s}}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(encoded, '\n')
}

func args(t *testing.T, plan []byte) map[string]any {
	t.Helper()
	var p struct {
		Steps []struct{ Args map[string]any }
	}
	if err := json.Unmarshal(plan, &p); err != nil {
		t.Fatal(err)
	}
	return p.Steps[0].Args
}

func lostFields(before, after map[string]any) string {
	var lost []string
	for name, value := range before {
		if !reflect.DeepEqual(value, after[name]) {
			lost = append(lost, fmt.Sprintf("%s was %v and is %v", name, value, after[name]))
		}
	}
	return strings.Join(lost, "; ")
}

// fill gives every field a value that is not its zero.
func fill(v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[json.RawMessage]():
		v.SetBytes([]byte(`{"option":1}`))
		return
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
		return
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
		return
	case v.Kind() == reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("name"), value)
		return
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
		return
	case v.Kind() == reflect.String:
		v.SetString("text")
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(7)
	case v.CanUint():
		v.SetUint(0o644)
	default:
		panic("no value for " + v.Type().String())
	}
}
