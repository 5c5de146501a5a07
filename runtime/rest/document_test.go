package rest

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"ss-setup/runtime/model"
)

var update = flag.Bool("update", false, "write the golden files anew")

const goldenDocument = "testdata/openapi.json"

// TestTheDocumentChangesOnlyOnPurpose: clients are made of it. What is there stays; run
// with -update when something is added, and look at the difference.
func TestTheDocumentChangesOnlyOnPurpose(t *testing.T) {
	w := newWorld(t)
	if *update {
		if err := os.WriteFile(goldenDocument, w.api.document().text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenDocument)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(w.api.document().text) {
		t.Errorf("the document is not that of %s", goldenDocument)
	}
}

func TestTheDocumentIsServedToEverybody(t *testing.T) {
	w := newWorld(t)
	r := w.nobody().get("/openapi.json").must(200)
	var document struct {
		OpenAPI string                     `json:"openapi"`
		Paths   map[string]json.RawMessage `json:"paths"`
	}
	if r.into(&document); document.OpenAPI != "3.1.0" || len(document.Paths) < 40 {
		t.Errorf("it has %d paths", len(document.Paths))
	}
	if again := w.nobody().with("If-None-Match", r.tag()).get("/openapi.json"); again.StatusCode != http.StatusNotModified {
		t.Error(again.Status)
	}
	if strings.Contains(string(r.text), "unpkg.com") || strings.Contains(string(r.text), "$schema") {
		t.Error("it leads elsewhere")
	}
}

func TestEveryKindHasItsOperationsAndEveryOperationItsWords(t *testing.T) {
	w := newWorld(t)
	listed := map[model.Kind]bool{}
	for _, k := range kinds() {
		listed[k.Kind] = true
	}
	for _, k := range model.Kinds() {
		if !listed[k] {
			t.Errorf("the kind %s cannot be reached", k)
		}
	}
	for path, item := range w.api.huma.OpenAPI().Paths {
		text, err := json.Marshal(item)
		if err != nil {
			t.Fatal(err)
		}
		var operations map[string]struct {
			OperationID string         `json:"operationId"`
			Summary     string         `json:"summary"`
			Tags        []string       `json:"tags"`
			Responses   map[string]any `json:"responses"`
		}
		if err := json.Unmarshal(text, &operations); err != nil {
			t.Fatal(err)
		}
		for method, op := range operations {
			if op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 || len(op.Responses) < 4 {
				t.Errorf("%s %s is not told of: %+v", method, path, op)
			}
			// And what the document says is there.
			_, pattern := w.api.mux.Handler(httptest.NewRequest(strings.ToUpper(method), strings.NewReplacer("{", "", "}", "").Replace(path), nil))
			if pattern != strings.ToUpper(method)+" "+path {
				t.Errorf("%s %s is answered by %q", method, path, pattern)
			}
		}
	}
}

func TestEveryFieldThatAdministratorsWriteIsTold(t *testing.T) {
	schemas := newWorld(t).api.huma.OpenAPI().Components.Schemas.Map()
	seen := map[string]bool{}
	var look func(name string)
	look = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		for field, p := range schemas[name].Properties {
			if p.Description == "" {
				t.Errorf("nothing is told of %s.%s", name, field)
			}
			for _, ref := range []*huma.Schema{p, p.Items} {
				if ref != nil && ref.Ref != "" {
					look(path.Base(ref.Ref))
				}
			}
		}
	}
	for _, k := range kinds() {
		look(k.object.Name())
	}
	for name, lists := range words {
		if !seen[name] {
			t.Errorf("%s is no object", name)
			continue
		}
		for field := range lists[len(lists)-1] {
			if schemas[name].Properties[field] == nil {
				t.Errorf("%s has no field %s", name, field)
			}
		}
	}
}

// TestWhatIsConfidentialIsInNoSchemaOfAnAnswer: such fields are written only, or not there.
func TestWhatIsConfidentialIsInNoSchemaOfAnAnswer(t *testing.T) {
	w := newWorld(t)
	for name, s := range w.api.huma.OpenAPI().Components.Schemas.Map() {
		for field, p := range s.Properties {
			if field == "hash" || field == "sealed" || name == "TOTP" && field == "recovery" {
				t.Errorf("%s.%s is told of", name, field)
			}
			// Of a finding these are no secrets, but whether there is one, and the verdict.
			told := name == "NewSecret" || name == "MadeToken" || name == "Recovery" || name == "Finding"
			secret := slices.Contains([]string{"clear", "password", "passphrase", "private", "code", "current", "new"}, field)
			if secret && !told && p.Ref == "" && !p.WriteOnly {
				t.Errorf("%s.%s is not for writing only", name, field)
			}
		}
	}
}

func TestWrongPathsAndMethodsAreProblems(t *testing.T) {
	w := furnished(t)
	c := w.super()
	c.get("/nothing").problem(notFound)
	c.get("/sites/main/users/anna/more/still").problem(notFound)
	r := c.delete("/sites")
	if r.problem(badMethod); r.Header.Get("Allow") != "GET, POST" {
		t.Errorf("%v", r.Header)
	}
	c.put("/sites/main/users", map[string]any{}).problem(badMethod)
	c.post("/sites/main/legacy", map[string]any{}).problem(badMethod)
	recorder := httptest.NewRecorder()
	w.api.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "https://server/api/v2/users", nil))
	if recorder.Code != http.StatusNotFound {
		t.Error(recorder.Code)
	}
}

// TestTheGuideNamesEveryProblem holds docs/api.md against the code.
func TestTheGuideNamesEveryProblem(t *testing.T) {
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for sort, p := range problems {
		if !strings.Contains(string(text), fmt.Sprintf("| `%s` | %d |", sort, p.status)) {
			t.Errorf("docs/api.md does not tell of %s, %d", sort, p.status)
		}
	}
	known := newWorld(t).api.huma.OpenAPI().Paths
	for _, found := range regexp.MustCompile("`(?:[A-Z]+ )?(/api/v1[^`? ]*)").FindAllStringSubmatch(string(text), -1) {
		if _, ok := known[found[1]]; !ok && found[1] != DocumentPath && found[1] != Prefix {
			t.Errorf("docs/api.md tells of %s, which is not there", found[1])
		}
	}
}
