package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestALogInUnderAHugeNameIsRefusedAndLeavesLittleBehind(t *testing.T) {
	w := furnished(t)
	huge := strings.Repeat("<", 30_000)
	for _, form := range []url.Values{
		{"name": {huge}, "password": {"x"}}, {"name": {huge}, "password": {"x"}, "as": {"admin"}}, {"name": {"sa"}, "password": {huge}},
	} {
		w.browser().post("/login", form).says(http.StatusUnauthorized, "Name or password is wrong")
	}
	if w.guard.offences != 3 {
		t.Errorf("the Protector heard of %d offences", w.guard.offences)
	}
	for _, e := range w.audit.of("api.login") {
		if line, err := json.Marshal(e); err != nil || len(line) > 2<<10 {
			t.Errorf("%d bytes in the audit log, %v", len(line), err)
		}
	}
}
