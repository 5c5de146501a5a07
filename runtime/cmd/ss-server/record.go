package main

import (
	"context"
	"encoding/json"
	"strconv"
	"sync/atomic"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/metrics"
	"ss-setup/runtime/model"
	"ss-setup/runtime/sftpd"
	"ss-setup/runtime/sites"
	"ss-setup/runtime/web"
)

// recorder writes what happens into the audit log, and counts it.
type recorder struct {
	audit    *audit.Log
	registry *metrics.Registry

	logins, files, bytes metrics.Counters
	changed              metrics.Counters
	// up and down are the bytes of files that were transferred and closed.
	up, down atomic.Int64
}

func newRecorder(o *operations) *recorder {
	m := o.metrics
	return &recorder{
		audit: o.audit, registry: m,
		logins:  m.Counters("ss_logins", "Log-ins by SFTP.", "site", "outcome"),
		files:   m.Counters("ss_files", "What users did with files, by operation and outcome.", "site", "operation", "outcome"),
		bytes:   m.Counters("ss_file_bytes", "Bytes of files that were transferred.", "site", "direction"),
		changed: m.Counters("ss_changes", "Changes of the configuration.", "kind", "operation"),
	}
}

// watch shows how the sites are.
func (r *recorder) watch(m *sites.Manager) {
	r.registry.GaugeFunc("ss_sessions", "Sessions by SFTP.", func() float64 {
		n := 0
		for _, s := range m.Status() {
			n += s.Sessions
		}
		return float64(n)
	})
	r.registry.GaugeFunc("ss_bindings_down", "Bindings that should listen and do not.", func() float64 {
		n := 0
		for _, b := range bindingsOf(m.Status()) {
			if b.Problem != "" {
				n++
			}
		}
		return float64(n)
	})
}

// load is what the server does now, for the plots: files that are still open count as far
// as they came.
func (r *recorder) load(m *sites.Manager) func() web.Load {
	return func() web.Load {
		l := web.Load{Up: r.up.Load(), Down: r.down.Load()}
		for _, site := range m.Status() {
			l.Sessions += site.Sessions
			for _, session := range m.Sessions(site.Site) {
				for _, t := range session.Transfers {
					l.Up += t.Written
					l.Down += t.Read
				}
			}
		}
		return l
	}
}

// changes records a commit. It is a listener of the engine.
func (r *recorder) changes(_ context.Context, changes []engine.Change) {
	for _, c := range changes {
		r.changed.With(string(c.Key.Kind), string(c.Op)).Inc()
		data := struct {
			Change      uint64             `json:"change"`
			Operation   engine.Op          `json:"operation"`
			Differences []model.Difference `json:"differences,omitempty"`
		}{c.Seq, c.Op, nil}
		if c.Op == engine.OpUpdate {
			data.Differences = model.Diff(c.Old, c.New)
		}
		e := audit.Event{Time: c.At, Event: "config.change", Outcome: audit.Done, By: c.By, Site: c.Key.Site, Object: c.Key.String()}
		e.Data, _ = json.Marshal(data) // plain fields: it cannot fail
		r.audit.Append(e)
	}
}

// session records what happens in sessions.
func (r *recorder) session(e sftpd.Event) {
	out := audit.Event{Time: e.Time, Outcome: audit.Done, Site: e.Site, Message: e.Reason}
	if e.User != "" {
		out.By = "user/" + e.User
	}
	if e.Addr.IsValid() {
		out.From = e.Addr.String()
	}
	if e.Session != 0 {
		out.Session = e.Site + "/" + strconv.FormatUint(e.Session, 10)
	}
	switch e.Kind {
	case sftpd.LoggedIn:
		out.Event = "session.login"
		out.Data, _ = json.Marshal(map[string]any{"methods": e.Methods, "client": e.Client})
		r.logins.With(e.Site, audit.Done).Inc()
	case sftpd.LoginFail:
		out.Event, out.Outcome = "session.login", audit.Refused
		out.Data, _ = json.Marshal(map[string]any{"client": e.Client})
		r.logins.With(e.Site, audit.Refused).Inc()
	case sftpd.LoggedOut:
		out.Event = "session.logout"
	case sftpd.FileChange:
		r.file(e, &out)
	}
	r.audit.Append(out)
}

// file fills in what a user did with a file.
func (r *recorder) file(e sftpd.Event, out *audit.Event) {
	f := e.File
	out.Event, out.Object = "file."+f.Op, f.Name
	if f.Err != nil {
		out.Outcome, out.Message = audit.Failed, f.Err.Error()
	}
	r.files.With(e.Site, f.Op, out.Outcome).Inc()
	r.bytes.With(e.Site, "up").Add(float64(f.Written))
	r.bytes.With(e.Site, "down").Add(float64(f.Read))
	r.up.Add(f.Written)
	r.down.Add(f.Read)
	data := map[string]any{}
	for name, n := range map[string]int64{"read": f.Read, "written": f.Written, "microseconds": f.Took.Microseconds()} {
		if n > 0 {
			data[name] = n
		}
	}
	if f.To != "" {
		data["to"] = f.To
	}
	if f.Interrupted {
		data["interrupted"] = true
	}
	if len(data) > 0 {
		out.Data, _ = json.Marshal(data)
	}
}
