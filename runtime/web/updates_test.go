package web

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestAnUpdateIsToldOfWithItsNotesAsText(t *testing.T) {
	w := furnished(t)
	b := w.as("sa").get("/updates").says(http.StatusOK, "No newer version is known", "check-update")
	w.pages.Facts = func() Facts {
		return Facts{Started: start, Snapshot: start, Update: &Update{Version: "7.1.0", Released: start, Notes: "Fast <script>alert(1)</script> lists"}}
	}
	b.get("/").says(http.StatusOK, "Version 7.1.0 is available", `href="/updates"`)
	b.get("/updates").says(http.StatusOK, "What is new", "ss-setup install --update", "Fast <script>alert(1)</script> lists")
	if strings.Contains(b.page, "<script>alert") {
		t.Error("the notes are more than text")
	}
	w.as("otto").says(http.StatusOK).keepsQuiet("7.1.0").get("/updates").says(http.StatusForbidden, "Not allowed")
}

func TestThePageOfCertificatesTellsWhichOneIsInUseAndWhatTheAuthoritySaid(t *testing.T) {
	w := furnished(t)
	state := CertificateState{Fingerprint: "SHA256:abc", Ends: start.Add(20 * 24 * time.Hour), SelfSigned: true}
	w.pages.Certificate = func() CertificateState { return state }
	b := w.as("sa").get("/certificates").says(http.StatusOK, "SHA256:abc", "Self-signed", "20 days").keepsQuiet("Authority</dt>")
	state.SelfSigned, state.Authority, state.Failures, state.Problem, state.Next = false, true, 3, "the name <b>does not</b> resolve", start.Add(time.Hour)
	b.get("/certificates").says(http.StatusOK, "Failed 3 times", "the name <b>does not</b> resolve", "It is asked next")
	if strings.Contains(b.page, "<b>does not") {
		t.Error("what an authority said is more than text")
	}
	state.Failures = 0
	b.get("/certificates").says(http.StatusOK, "Answers")
	b.get("/sites/main/certificates").says(http.StatusOK).keepsQuiet("SHA256:abc")
}
