package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ss-setup/installer/bundle"
	"ss-setup/installer/machine"
	"ss-setup/installer/plan"
	"ss-setup/installer/preflight"
	"ss-setup/runtime/config"
	setup "ss-setup/runtime/setup/answers"
)

// ownExit are the checks whose failure is told by a number of its own.
var ownExit = map[string]Exit{
	preflight.Root: NeedsRoot, preflight.Platform: Unsupported, preflight.InitSystem: Unsupported, preflight.OtherRun: Busy,
}

// check runs the preflight of an install. With --preflight-only it is the end.
func (s *session) check(ctx context.Context, sit *plan.Situation, p *plan.Proposal) (*ending, error) {
	if s.m.Bundle == nil {
		if err := s.checkRoom(); err != nil {
			return nil, err
		}
		return nil, s.checkMoveOut(ctx, sit, p)
	}
	// A file system of its own: what the checks try is no part of the run.
	var services machine.Services
	if s.idle {
		services = s.m.Services
	}
	probe := preflight.NewProbe(&machine.FS{Root: s.root}, services)
	checks := preflight.Run(ctx, probe, s.preflightInput(sit, p, s.m.Bundle))
	for _, c := range checks {
		s.log.Info("check", "name", c.Name, "status", c.Status, "message", c.Message)
		if c.Status == preflight.Warn {
			s.out.warn(s.names.text(withCure(c)))
		}
	}
	if err := s.refusal(preflight.Failed(checks)); err != nil {
		return nil, err
	}
	if err := s.prepareImport(ctx, sit, p); err != nil {
		return nil, err
	}
	if !s.preflightOnly {
		return nil, nil
	}
	return &ending{
		message: fmt.Sprintf("all %d checks passed; nothing was changed", len(checks)),
		Result:  Result{Outcome: outcomePlanned, Version: p.To, Previous: p.From},
	}, nil
}

// checkAccount refuses an account that the server cannot run as before a plan names it:
// --plan makes no other check.
func (s *session) checkAccount() error {
	if s.m.Bundle == nil {
		return nil
	}
	probe := preflight.NewProbe(&machine.FS{Root: s.root}, nil)
	return s.refusal(preflight.Failed(preflight.ServiceAccount(probe, s.options.ServiceUser)))
}

// checkRoom looks whether a run that brings no release has the room that it needs
// all the same, to be recovered.
func (s *session) checkRoom() error {
	if s.options.Offline {
		return nil
	}
	info, err := os.Stat(selfPath)
	if err != nil {
		return err
	}
	probe := preflight.NewProbe(&machine.FS{Root: s.root}, nil)
	return s.refusal(preflight.Failed(preflight.Room(probe, preflight.Help(info.Size())...)))
}

func withCure(c preflight.Check) string {
	if c.Cure == "" {
		return c.Message
	}
	return c.Message + "; " + c.Cure
}

// refusal is the failure of the checks that forbid the run.
func (s *session) refusal(failed []preflight.Check) error {
	if len(failed) == 0 {
		return nil
	}
	exit, known := ownExit[failed[0].Name]
	if !known {
		exit = CheckFailed
	}
	var errs []error
	var cures []string
	for _, c := range failed {
		errs = append(errs, errors.New(c.Message))
		if c.Cure != "" && !slices.Contains(cures, c.Cure) {
			cures = append(cures, s.names.text(c.Cure))
		}
	}
	why := strings.ReplaceAll(errors.Join(errs...).Error(), "\n", "; ")
	return &Failure{Exit: exit, Err: fmt.Errorf("%s; nothing was changed", why), Cure: strings.Join(cures, "\n")}
}

func (s *session) preflightInput(sit *plan.Situation, p *plan.Proposal, b *bundle.Bundle) preflight.Input {
	m := b.Manifest
	in := preflight.Input{
		OS: m.OS, Arch: m.Arch, Installed: sit.Installed(), HoldsLock: true, Image: s.root != "" || s.idle,
		Account:  s.options.ServiceUser,
		Services: []string{machine.ServerService, machine.LicensedService},
		Demands:  preflight.Release(m.UnpackedSize(), m.Payload.Size, m.Setup.Size),
	}
	var store int64
	if p.Action != plan.ActionFresh && p.Action != plan.ActionForce && p.Action != plan.ActionUpgrade {
		store = sit.StoreSize()
	}
	in.Demands = append(in.Demands, preflight.Stores(store, 0)...)
	in.Leaving = leaving(sit, p)
	if !sit.Installed() {
		for _, old := range sit.OldInUse() {
			if p.Action == plan.ActionUpgrade && old.Major == sit.OldVersions[len(sit.OldVersions)-1].Major {
				continue // it is stopped and disabled by the run
			}
			in.Old = append(in.Old, preflight.Old{
				Version: old.Major, Services: old.Names(), Cures: plan.StopOldCommands(s.m.Services.Name(), old.Services),
			})
		}
	}
	web, license := s.ports()
	in.Ports = []preflight.Port{
		{Service: machine.ServerService, Number: web, Flag: "--web-port"},
		{Service: machine.LicensedService, Number: license, Flag: "--license-port", Loopback: true},
	}
	if f := s.options.FirstSetUp; f != nil && f.Site != "" && (p.Action == plan.ActionFresh || p.Action == plan.ActionForce) {
		port := preflight.Port{Service: "SFTP", Number: f.Port, Flag: "--sftp-port"}
		if port.Number == 0 {
			port.Number, port.Optional = setup.DefaultPort, true
		}
		in.Ports = append(in.Ports, port)
	}
	for _, g := range sit.Generations {
		in.NotBefore = later(in.NotBefore, g.Created)
	}
	return in
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// ports are those that the services will listen on: of the configuration that
// is there, which no run rewrites, else those asked for.
func (s *session) ports() (web, license int) {
	web, license = orElse(s.options.WebPort, config.DefaultWebPort), orElse(s.options.LicensePort, config.DefaultLicensePort)
	if c, _, found, err := config.LoadServer(s.m.FS.Real(filepath.Join(machine.ConfigDir, "server.toml"))); err == nil && found {
		web = portOf(c.ProbeAddr(), web)
	}
	if c, _, found, err := config.LoadLicensed(s.m.FS.Real(filepath.Join(machine.ConfigDir, "licensed.toml"))); err == nil && found {
		license = portOf(c.ProbeAddr(), license)
	}
	return web, license
}

func portOf(addr string, standard int) int {
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		return standard
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return standard
	}
	return port
}

func orElse(port, standard int) int {
	if port == 0 {
		return standard
	}
	return port
}
