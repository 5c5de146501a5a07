package cli

import (
	"encoding/json"
	"io"
	"time"
)

// The events of a run.
const (
	eventPlan     = "plan"
	eventStart    = "step_start"
	eventProgress = "step_progress"
	eventDone     = "step_done"
	eventUndone   = "step_undone"
	eventWarning  = "warning"
	eventPrompt   = "prompt"
	eventResult   = "result"
)

// The levels of events.
const (
	levelInfo  = "info"
	levelWarn  = "warn"
	levelError = "error"
)

// Event is one thing that is told about a run: a line of --output json, and what
// the other renderers make their text of. docs/events.md explains every field.
type Event struct {
	Time  time.Time `json:"time"`
	Event string    `json:"event"`
	Level string    `json:"level"`
	// Step is the kind of the step, Index its place from 1 on, Total how many there are.
	Step       string `json:"step,omitempty"`
	Index      int    `json:"index,omitempty"`
	Total      int    `json:"total,omitempty"`
	Bytes      int64  `json:"bytes,omitempty"`
	BytesTotal int64  `json:"bytes_total,omitempty"`
	Percent    int    `json:"percent,omitempty"`
	Message    string `json:"message"`
	Error      string `json:"error,omitempty"`

	*planFields
	*promptFields
	*Result
}

// planFields are those of the event plan.
type planFields struct {
	Action string `json:"action"`
	Hash   string `json:"hash"`
	// Plan is the plan itself, as the journal and the receipt keep it.
	Plan  json.RawMessage `json:"plan"`
	Notes []string        `json:"notes,omitempty"`
	// Whole: the plan was asked for, not only its summary.
	Whole     bool     `json:"-"`
	Questions []string `json:"questions,omitempty"`
}

// promptFields are those of the event prompt.
type promptFields struct {
	Explain string `json:"explain,omitempty"`
	// Answer is empty while the question waits.
	Answer string `json:"answer,omitempty"`
}

// Result is how a run ended.
type Result struct {
	ExitCode int    `json:"exit_code"`
	Verb     string `json:"verb,omitempty"`
	// Outcome is committed, rolled_back, left, pending, nothing, planned or refused.
	Outcome string `json:"outcome"`
	// Left names what could not be put back.
	Left []string `json:"left,omitempty"`
	// Cure is what to do next, after a failure.
	Cure string `json:"cure,omitempty"`

	Version    string `json:"version,omitempty"`
	Previous   string `json:"previous_version,omitempty"`
	Generation int    `json:"generation,omitempty"`
	// Seconds is how long the run took, Downtime how long users had no service.
	Seconds  float64  `json:"seconds,omitempty"`
	Downtime *float64 `json:"downtime_seconds,omitempty"`

	// URLs are those of the setup page after a first install (Fresh), else of the web UI.
	URLs        []string   `json:"urls,omitempty"`
	Fingerprint string     `json:"fingerprint,omitempty"`
	SetupCode   string     `json:"setup_code,omitempty"`
	CodeExpires *time.Time `json:"setup_code_expires,omitempty"`
	// SetUp is what the first set-up has made.
	SetUp *setUpFields `json:"set_up,omitempty"`
	// NewCode is the command that makes a new setup code.
	NewCode  string   `json:"new_code_command,omitempty"`
	Firewall string   `json:"firewall,omitempty"`
	OpenWith []string `json:"firewall_commands,omitempty"`
	GoBack   string   `json:"go_back,omitempty"`
	// LicenseServer is that of a client, LicenseState whether it is reachable.
	LicenseServer string `json:"license_server,omitempty"`
	LicenseState  string `json:"license_server_state,omitempty"`
	// Kept are files that an uninstall left because somebody else may want them.
	Kept []string `json:"kept,omitempty"`
	Log  string   `json:"log,omitempty"`

	// Fresh: the store is new, so the server is to be set up.
	Fresh bool `json:"-"`
}

// setUpFields are what ss-server setup tells.
type setUpFields struct {
	// Already: the node was set up before.
	Already    bool   `json:"already,omitempty"`
	Node       string `json:"node,omitempty"`
	SuperAdmin string `json:"superadmin,omitempty"`
	Site       string `json:"site,omitempty"`
	Address    string `json:"address,omitempty"`
	Port       int    `json:"port,omitempty"`
	// OtherPort: the usual port is taken.
	OtherPort bool   `json:"other_port,omitempty"`
	Folder    string `json:"folder,omitempty"`
	User      string `json:"user,omitempty"`
	// Serving: an SSH server answers there.
	Serving  bool `json:"serving,omitempty"`
	HostKeys []struct {
		Algorithm string `json:"algorithm"`
		SHA256    string `json:"sha256"`
	} `json:"host_keys,omitempty"`
}

// The outcomes of a run besides those of package txn.
const (
	outcomeNothing = "nothing"
	outcomePlanned = "planned"
	outcomeRefused = "refused"
)

// renderer shows events.
type renderer interface {
	show(Event)
}

// jsonLines writes one object a line.
type jsonLines struct{ w io.Writer }

func (j jsonLines) show(e Event) {
	line, err := json.Marshal(e)
	if err != nil {
		return
	}
	_, _ = j.w.Write(append(line, '\n'))
}
