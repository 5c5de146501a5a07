package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"

	"ss-setup/runtime/daemon"
	"ss-setup/runtime/sites"
)

// listeningName is the file beside the store that says where users are served. ss-setup
// reads it: after an update the new release must be seen at each of these places. It
// stays when the server stops.
const listeningName = "listening.json"

// bindings are all bindings of sites that are to run.
func (s *server) bindings() []daemon.Binding { return bindingsOf(s.sites.Status()) }

func bindingsOf(list []sites.SiteStatus) []daemon.Binding {
	var out []daemon.Binding
	for _, site := range list {
		for _, b := range site.Bindings {
			if b.Disabled {
				continue
			}
			out = append(out, daemon.Binding{
				Site: site.Site, Name: b.Name, Address: b.Address, Listening: b.Listening, Proxied: b.Proxied, Problem: b.Problem,
				RefusedFrom: b.RefusedFrom,
			})
		}
	}
	return out
}

// listeningFile keeps the file at path true. Without a binding there is none to begin
// with.
func listeningFile(path string, log *slog.Logger) func([]sites.SiteStatus) {
	last, err := os.ReadFile(path)
	return func(list []sites.SiteStatus) {
		listening := []daemon.Binding{}
		for _, b := range bindingsOf(list) {
			if b.Listening {
				listening = append(listening, b)
			}
		}
		var text []byte
		text, err = json.Marshal(listening)
		text = append(text, '\n')
		if err != nil || bytes.Equal(text, last) || len(listening) == 0 && last == nil {
			return
		}
		part := path + ".part"
		if err = os.WriteFile(part, text, 0o600); err == nil {
			err = os.Rename(part, path)
		}
		if err != nil {
			log.Error("where users are served is not written down; an update will not look for it", "error", err)
			return
		}
		last = text
	}
}
