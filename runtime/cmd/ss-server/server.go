package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"time"

	"ss-setup/runtime/admin"
	"ss-setup/runtime/auth"
	"ss-setup/runtime/config"
	"ss-setup/runtime/control"
	"ss-setup/runtime/daemon"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/hostkey"
	"ss-setup/runtime/rest"
	"ss-setup/runtime/seal"
	"ss-setup/runtime/setup"
	"ss-setup/runtime/sftpd"
	"ss-setup/runtime/sites"
	"ss-setup/runtime/store"
	"ss-setup/runtime/tlscert"
	"ss-setup/runtime/vfs/keyring"
	"ss-setup/runtime/web"
)

// server is what a running ss-server consists of. Whoever answers requests - pages, REST,
// the control socket - gets of it what it needs.
type server struct {
	at  paths
	log *slog.Logger
	ops *operations
	// replacements outlive the server, which starts anew for one.
	replacements *replacements
	intake       *web.Intake

	ring      *keyring.Ring
	engine    *engine.Engine
	codes     *setup.Codes
	snapshots *snapshotKeeper
	sites     *sites.Manager
	api       *rest.API
	pages     *web.Pages
	tending   context.CancelFunc
}

// start opens everything and serves.
func start(log *slog.Logger, level *slog.LevelVar, at paths, replacements *replacements, intake *web.Intake) (*daemon.Instance, error) {
	c, unknown, found, err := config.LoadServer(at.config)
	if err != nil {
		return nil, err
	}
	daemon.WarnOfConfig(log, at.config, found, unknown)
	s := &server{at: at, log: log, replacements: replacements, intake: intake}
	return daemon.Start(daemon.Options{
		Home: at.home, DataLink: dataLink, State: at.state, Listen: c.Web.Listen, Schema: schema(), Log: log,
		Prepare: func(i *daemon.Instance) (io.Closer, error) {
			s.ops = newOperations(log, level, at, c)
			return s, s.open(i)
		},
		Certificate: func(dir string) (*tlscert.Keeper, error) { return s.ops.open(dir) },
		Reload:      func() { s.ops.reloadAndTell() },
		Bindings:    s.bindings,
		Handler:     s.handler,
		Started:     s.started,
		Drain:       s.drain,
	})
}

// open opens the objects and serves the sites. What it opened is closed by Close, also
// when it fails.
func (s *server) open(i *daemon.Instance) (err error) {
	s.codes = setup.New(i.Store, rand.Reader, time.Now)
	s.engine, s.ring, err = openObjects(i.Store, s.at.state, s.log)
	if err != nil {
		return err
	}
	s.ops.follow(s.engine)
	s.replacements.tell(s.ops.audit)
	r := newRecorder(s.ops)
	s.engine.Listen(r.changes)
	apart, err := absolute(s.at.state, daemon.KeyRing(s.at.state), daemon.Snapshots(s.at.state), s.at.logs, i.Home.Dir, i.Home.Data)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.tending = cancel
	go sftpd.TendMemory(ctx, sftpd.DefaultMemory, memoryLook)
	s.sites, err = sites.Start(sites.Options{
		Engine: s.engine, Ring: s.ring, Apart: apart, Files: daemon.DefaultFiles, Open: i.Gate.Open, Events: r.session,
		Changed: listeningFile(filepath.Join(i.Home.Data, listeningName), s.log), Log: s.log, Now: time.Now,
	})
	if err != nil {
		return err
	}
	r.watch(s.sites)
	if err := s.openAPI(); err != nil {
		return err
	}
	history := web.NewHistory(r.load(s.sites), time.Now)
	go history.Run(ctx)
	place := placeOf(i.Home.Data, s.at.state)
	s.intake.Open(i.Home.Data)
	cleanSpool(i.Home.Data)
	s.pages = web.New(web.Options{
		Certificate: s.certificateState, Backups: backups{s, place}, Restorer: restorer{s, i, place}, Intake: s.intake,
		API: s.api, Codes: s.codes, SetUp: s.setUpByWizard, History: history, Facts: s.facts(time.Now()), Version: i.Version(), Log: s.log,
	})
	return nil
}

// facts are what the overview tells of the node.
func (s *server) facts(started time.Time) func() web.Facts {
	return func() web.Facts {
		f := web.Facts{Started: started, CertificateEnds: s.ops.certificate().NotAfter, Update: s.update(), Folders: s.sites.Folders()}
		list, err := snapshotsIn(s.at.state).List()
		if err != nil {
			s.log.Warn("the snapshots could not be listed", "error", err)
		}
		if f.Backup, err = lastBackupIn(s.at.state).time(); err != nil {
			s.log.Warn("the overview tells of no backup", "error", err)
		}
		for _, snapshot := range list {
			if snapshot.Made.After(f.Snapshot) {
				f.Snapshot = snapshot.Made
			}
		}
		return f
	}
}

// openAPI makes the REST interface.
func (s *server) openAPI() error {
	hasher, err := auth.NewHasher(auth.DefaultParams)
	if err != nil {
		return err
	}
	s.api = rest.New(rest.Options{
		Engine: s.engine, Hasher: hasher, Sites: s.sites, Protector: s.sites.Web(), Audit: s.ops.audit, Events: s.ops.audit,
		Files: daemon.DefaultFiles, KnownKeys: s.knownKeys(), Log: s.log, Now: time.Now,
	})
	return nil
}

// knownKeys are the host keys that others have, too. A list that cannot be read keeps no
// server from its work.
func (s *server) knownKeys() *hostkey.Denylist {
	files, err := hostkey.DenylistFiles(s.at.config)
	if err == nil {
		var list *hostkey.Denylist
		if list, err = hostkey.LoadDenylist(files...); err == nil {
			return list
		}
	}
	s.log.Error("host keys are judged without the lists of known ones", "error", err)
	return nil
}

// drain lets users finish before the web interface stops.
func (s *server) drain() {
	s.sites.Drain()
	s.api.EndStreams()
}

// memoryLook is how often the server looks whether memory can be given back.
const memoryLook = 5 * time.Second

// absolute are folders that may be named from where the server was started.
func absolute(dirs ...string) ([]string, error) {
	for i, dir := range dirs {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		dirs[i] = abs
	}
	return dirs, nil
}

// Close ends what handlers work with; the store is the daemon's.
func (s *server) Close() error {
	var err error
	if s.tending != nil {
		s.tending()
	}
	if s.pages != nil {
		err = s.pages.Close()
	}
	if s.api != nil {
		err = errors.Join(err, s.api.Close())
	}
	if s.sites != nil {
		err = errors.Join(err, s.sites.Close())
	}
	if s.engine != nil {
		err = errors.Join(err, s.engine.Close())
	}
	return errors.Join(err, s.ops.Close())
}

func (s *server) handler(i *daemon.Instance) http.Handler {
	return admin.Handler(admin.Options{
		Health: i.Health, Open: i.Gate.Open, Log: s.log, API: s.api, Pages: s.pages,
		Metrics: s.ops.metrics.Handler(s.ops.mayReadMetrics(daemon.NewProbe(s.at.state))),
	})
}

// started begins what runs beside the web interface.
func (s *server) started(i *daemon.Instance) io.Closer {
	s.snapshots = keepSnapshots(s.at.state, i.Store, s.snapshotHour, s.log)
	return closers{s.openControl(i), s.snapshots}
}

// openControl opens the door for root. Without it the server still serves: users must
// not pay for a missing folder in /run.
func (s *server) openControl(i *daemon.Instance) io.Closer {
	place := placeOf(i.Home.Data, s.at.state)
	answers := s.ops.verbs()
	maps.Copy(answers, s.replacements.verbs(s, i, place))
	answers[backupVerb] = s.backup(place)
	answers[setupVerb] = s.setup()
	answers[statusVerb] = s.status()
	answers[snapshotVerb] = s.snapshots.verb
	maps.Copy(answers, tokenVerbs(s.engine))
	maps.Copy(answers, superAdminVerbs(s.engine))
	answers[changesVerb] = answerChanges(i.Store)
	answers[gensscVerb] = func(context.Context, *control.Request) (any, error) { return s.codes.Make() }
	door, err := control.Serve(s.at.control, answers, s.log)
	if err != nil {
		s.log.Warn("commands such as `ss-server genssc` will not reach this server; start it as a service", "error", err)
		return nil
	}
	return door
}

// openObjects opens the objects of a store with the key ring outside the generations. The
// node's master key is made when there is none yet: before anything is sealed with it.
// Close the engine before the store.
func openObjects(st *store.Store, state string, log *slog.Logger) (*engine.Engine, *keyring.Ring, error) {
	ring, err := keyring.Open(daemon.KeyRing(state))
	if err != nil {
		return nil, nil, err
	}
	if _, err := ring.Master(); err != nil {
		return nil, nil, fmt.Errorf("find the node's master key: %w", err)
	}
	e, err := engine.Open(engine.Options{Store: st, Sealer: seal.New(ring), Now: time.Now, Log: log})
	return e, ring, err
}

// closers are closed in their order.
type closers []io.Closer

// Close implements io.Closer.
func (c closers) Close() error {
	var all error
	for _, closer := range c {
		if closer != nil {
			all = errors.Join(all, closer.Close())
		}
	}
	return all
}
