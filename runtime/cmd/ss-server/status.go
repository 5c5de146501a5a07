package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"ss-setup/runtime/control"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/sites"
	"ss-setup/runtime/verbs"
)

const statusVerb = "status"

// serverStatus is what status --json prints.
type serverStatus struct {
	Running bool               `json:"running"`
	Sites   []sites.SiteStatus `json:"sites"`
}

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:  statusVerb,
		Usage: "list the sites, where users reach them, and why they do not",
		Flags: []cli.Flag{homeFlag(), stateFlag(), controlFlag(), verbs.JSONFlag()},
		Action: func(c *cli.Context) error {
			var status serverStatus
			err := onObjects(c, statusVerb, nil, &status, func(_ context.Context, e *engine.Engine) (any, error) { return stoppedStatus(e) })
			if err != nil {
				return fmt.Errorf("tell how the sites are: %w", err)
			}
			if c.Bool("json") {
				return json.NewEncoder(c.App.Writer).Encode(status)
			}
			return printSites(c.App.Writer, status)
		},
	}
}

func (s *server) status() control.Verb {
	return func(context.Context, *control.Request) (any, error) { return serverStatus{true, s.sites.Status()}, nil }
}

// stoppedStatus is what would be served if the server ran.
func stoppedStatus(e *engine.Engine) (serverStatus, error) {
	status := serverStatus{Sites: []sites.SiteStatus{}}
	err := e.Read(func(r *engine.Reader) error {
		for site, err := range engine.Sites.All(r) {
			if err != nil {
				return err
			}
			one := sites.SiteStatus{Site: site.Name, Bindings: []sites.BindingStatus{}}
			for b, err := range engine.Bindings.InSite(r, site.Name) {
				if err != nil {
					return err
				}
				one.Bindings = append(one.Bindings, sites.BindingStatus{
					Name: b.Name, Address: net.JoinHostPort(b.Address, strconv.Itoa(b.Port)), Disabled: b.Disabled, Proxied: len(b.ProxyFrom) > 0,
				})
			}
			status.Sites = append(status.Sites, one)
		}
		return nil
	})
	return status, err
}

func printSites(w io.Writer, status serverStatus) error {
	if !status.Running {
		fmt.Fprintln(w, "The server is not running.")
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SITE\tSTATE\tSESSIONS\tBINDING\tADDRESS\tSTATE")
	for _, s := range status.Sites {
		state := "stopped"
		switch {
		case s.Problem != "":
			state = s.Problem
		case s.Running:
			state = "running"
		}
		head := fmt.Sprintf("%s\t%s\t%d", s.Site, state, s.Sessions)
		if len(s.Bindings) == 0 {
			fmt.Fprintf(table, "%s\tnone\t\t\n", head)
		}
		for _, b := range s.Bindings {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", head, b.Name, b.Address, bindingState(b))
			head = "\t\t"
		}
	}
	return table.Flush()
}

func bindingState(b sites.BindingStatus) string {
	switch {
	case b.Disabled:
		return "disabled"
	case b.Listening:
		return "listens"
	case b.Problem != "":
		return "does not listen: " + b.Problem
	}
	return "does not listen"
}
