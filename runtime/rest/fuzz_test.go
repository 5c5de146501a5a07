package rest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ss-setup/runtime/model"
)

// FuzzDecoding sends bodies as objects of each kind: they are taken or refused, with the
// server's own fields out of reach and nothing of a secret in the refusal.
func FuzzDecoding(f *testing.F) {
	for _, seed := range []string{
		`{"name":"x"}`, `{"name":"x","password":{"clear":"hushhushhush","hash":"a","set":true}}`, `{"HASH":"x","Name":"a","NAME":"b"}`,
		`{"totp":{"secret":{"clear":"x","sealed":"y"},"recovery":["hush"]}}`, `{"folders":[{"mount":null}],"groups":null,"keys":[{}]}`,
		`{"quota":{"soft":1e99,"hard":-1}}`, `{"quota":{"soft":9223372036854775807}}`, `{"enableFrom":"yesterday","rev":18446744073709551615}`,
		`{"list":"block","network":"::/0","expires":"2026-01-01T00:00:00Z"}`, `[`, `null`, `{"a":{"a":{"a":{}}}}`, `{"\u0000":1,"":2}`, "{\"name\":\"\xff\"}",
		`{"data":[1,{"x":null}],"type":"t","source":"6"}`, `{"ssh":{"auth":["password,totp"],"ciphers":["none"]},"limits":{"connections":-5}}`,
	} {
		for i := range kinds() {
			f.Add(byte(i), seed)
		}
	}
	w := newWorld(f)
	list := kinds()
	f.Fuzz(func(t *testing.T, which byte, body string) {
		k := list[int(which)%len(list)]
		o, err := w.api.decodeObject(k.Kind, []byte(body))
		if err != nil {
			var p *Problem
			if p, _ = problemOf(nil, err, w.api.Log).(*Problem); p == nil || p.Status >= 500 {
				t.Fatalf("%s %q: %v", k.Kind, body, err)
			}
			if text, err := json.Marshal(p); err != nil || strings.Contains(string(text), "hushhush") {
				t.Fatalf("%q is refused with %s, %v", body, text, err)
			}
			return
		}
		for _, s := range o.Secrets() {
			if s.Secret.Sealed != "" {
				t.Errorf("%q sets what is sealed", body)
			}
		}
		for _, p := range o.Passwords() {
			if p.Password.Hash != "" {
				t.Errorf("%q sets a hash", body)
			}
		}
		o.Normalize()
		_ = o.Validate()
		model.Redact(o)
		if _, err := json.Marshal(o); err != nil {
			t.Errorf("%q: %v", body, err)
		}
	})
}

// FuzzRequests sends paths, headers and bodies that nobody means.
func FuzzRequests(f *testing.F) {
	for _, seed := range [][5]string{
		{"GET", "/sites/main/users?limit=0&q=%00", "", "", ""},
		{"GET", "/sites/main/users?after=%ff&refersTo=user/x", "", "", ""},
		{"PATCH", "/sites/main/users/anna", `"3"`, `{"name":null,"password":null}`, "application/merge-patch+json"},
		{"PUT", "/sites/main/entries/block:%2F%2F", "*", `{"list":"block"}`, "application/json"},
		{"POST", "/login", "", `{"name":"sa","password":"x","code":"1","recovery":"AAAA"}`, "application/json"},
		{"DELETE", "/sites/..%2f/users/%2e%2e", `W/"1"`, "", ""},
		{"POST", "/hostkeys/audit", "", `{"text":"-----BEGIN RSA PRIVATE KEY-----\nx"}`, "application/json; charset=utf-8"},
		{"GET", "/changes?since=18446744073709551615", "", "", ""},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], seed[4])
	}
	w := furnished(f)
	c := w.super()
	f.Fuzz(func(t *testing.T, method, path, ifMatch, body, media string) {
		if !strings.HasPrefix(path, "/") || strings.Contains(path, "/stream") {
			return
		}
		target, err := http.NewRequest(method, "https://server"+Prefix+path, strings.NewReader(body))
		if err != nil {
			return
		}
		target.RemoteAddr = "127.0.0.1:1"
		target.Header = http.Header{"If-Match": {ifMatch}, "Content-Type": {media}, "Authorization": {"Bearer " + c.token}}
		w.pass(1e9)
		recorder := httptest.NewRecorder()
		w.api.ServeHTTP(recorder, target)
		if recorder.Code >= 500 && recorder.Code != http.StatusServiceUnavailable {
			t.Errorf("%s %s %q %q %q: %d %s", method, path, ifMatch, body, media, recorder.Code, recorder.Body)
		}
	})
}
