// Package license is what the license daemon says and how it is asked. In this release
// the daemon has no licenses to hand out; the answers are the ones that ss-setup's probe
// and lmu rely on. A client knows its license server's name, and whether it is there.
package license

import (
	"encoding/json"
	"net/http"
	"time"

	"ss-setup/runtime/daemon"
)

// The paths of the daemon's answers.
const (
	PingPath   = "/v1/ping"
	StatusPath = "/v1/status"
)

// Status is what the daemon says to who asks how it is.
type Status struct {
	// State is "serving", or "updating" while the generation is not committed.
	State   string    `json:"state"`
	Version string    `json:"version"`
	Role    string    `json:"role"`
	Started time.Time `json:"started"`
	// Licenses are the keys the daemon holds; this release holds none.
	Licenses []string `json:"licenses"`
	// Server is the license server of a client; nil in other roles.
	Server *Server `json:"server,omitempty"`
}

// Options are what the answers need of the daemon.
type Options struct {
	Health  func(*http.Request) daemon.Health
	Open    func() bool
	Version string
	Role    string
	Started time.Time
	// Server tells about the license server; nil in other roles than client.
	Server func() Server
}

// Handler answers ping and status.
func Handler(opt Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+PingPath, func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, opt.Health(r))
	})
	mux.HandleFunc("GET "+StatusPath, func(w http.ResponseWriter, _ *http.Request) {
		s := Status{State: "serving", Version: opt.Version, Role: opt.Role, Started: opt.Started.UTC(), Licenses: []string{}}
		if opt.Server != nil {
			server := opt.Server()
			s.Server = &server
		}
		if opt.Open() {
			answer(w, http.StatusOK, s)
			return
		}
		s.State = "updating"
		w.Header().Set("Retry-After", "2")
		answer(w, http.StatusServiceUnavailable, s)
	})
	return mux
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
