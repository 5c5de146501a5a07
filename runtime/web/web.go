package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"ss-setup/runtime/rest"
	"ss-setup/runtime/setup"
	"ss-setup/runtime/setup/answers"
	"ss-setup/runtime/sites"
)

// SetupPath is the first-run wizard.
const SetupPath = "/init/setup"

// Codes redeems setup codes and knows the session that one opened.
type Codes interface {
	Redeem(typed string, from netip.Addr) (setup.Session, error)
	Session(token string) (expires time.Time, ok bool)
	// Done tells that the node is set up: codes open nothing any more.
	Done() (bool, error)
}

// SetUp makes what the wizard was told: *setup.Made, or an error that is answers.ErrInvalid
// or setup.ErrDone.
type SetUp func(ctx context.Context, from netip.Addr, a *answers.Answers) (setup.Made, error)

// Facts are what the overview tells of the node.
type Facts struct {
	// Started is when the server began to run.
	Started time.Time
	// Snapshot is when the configuration was last copied on this machine, Backup when a backup
	// was last made that can be kept elsewhere; zero if never.
	Snapshot, Backup time.Time
	// CertificateEnds is the end of the certificate that the pages are served with.
	CertificateEnds time.Time
	// Update is a release that could be installed; nil if none is known.
	Update *Update
	// Folders are the VFSs whose folder cannot be opened.
	Folders []sites.FolderProblem
}

// Options are what the pages work with.
type Options struct {
	API   *rest.API
	Codes Codes
	SetUp SetUp
	// History has what the plots show; nil for no plots.
	History *History
	// Facts tells of the node; nil for nothing.
	Facts func() Facts
	// Certificate tells of the one that the pages are served with; nil for nothing.
	Certificate func() CertificateState
	// Backups makes backups; nil for no page of them.
	Backups Backups
	// Restorer and Intake are what restores work with; nil for no page of them.
	Restorer Restorer
	Intake   *Intake
	// MaxUpload is the largest file that is taken, in bytes; 0 for what is usual.
	MaxUpload int64
	Version   string
	Log       *slog.Logger
	Now       func() time.Time // nil is the machine's clock
}

// Pages are all pages. Make them with New.
type Pages struct {
	Options
	assets  *assets
	render  *renderer
	csrfKey [sha256.Size]byte
	// drafts are forms whose session ended, halves log-ins that wait for a code, secrets what
	// is shown once after a redirect.
	drafts  *shelf[draft]
	halves  *shelf[half]
	secrets *shelf[shown]
	// tables are files of users that were looked at and wait to be imported.
	tables *shelf[*csvUsers]
	// jobs go on when the page that began them is gone, until ending is done.
	jobs   sync.WaitGroup
	ending context.Context
	end    context.CancelFunc
	wizard wizard
	vault  vault
	node   nodeFacts
	mux    *http.ServeMux
	// patterns are those of mux, for a test that no address means two things.
	patterns []string
}

// New makes the pages.
func New(o Options) *Pages {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Pages{
		Options: o, assets: newAssets(), mux: http.NewServeMux(),
		drafts:  newShelf[draft](o.Now, 15*time.Minute, room{most: 200, each: 20, bytes: 2 << 20}),
		halves:  newShelf[half](o.Now, 3*time.Minute, room{most: 200, each: 20, bytes: 1 << 20}),
		secrets: newShelf[shown](o.Now, 5*time.Minute, room{most: 200, each: 20, bytes: 1 << 20}),
		tables:  newShelf[*csvUsers](o.Now, 15*time.Minute, room{most: 40, each: 4, bytes: 4 * maxCSV}),
	}
	p.ending, p.end = context.WithCancel(context.Background())
	_, _ = rand.Read(p.csrfKey[:]) // never fails
	p.render = newRenderer(p)
	if p.Intake != nil {
		p.Intake.Use(p.Restorer)
	}
	p.routes()
	return p
}

// ServeHTTP answers every path that is not the REST interface's or a probe's.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

func (p *Pages) handle(pattern string, fn http.HandlerFunc) {
	p.patterns = append(p.patterns, pattern)
	p.mux.HandleFunc(pattern, fn)
}

// routes is the map of the pages.
func (p *Pages) routes() {
	p.handle("GET /static/{name}", p.arrived(p.assets.serve))
	p.handle("GET "+SetupPath, p.whileNew(p.arrived(p.showWizard)))
	p.handle("POST "+SetupPath, p.whileNew(p.stepWizard))
	p.handle("GET "+donePath, p.arrived(p.showDone))
	p.handle("POST "+donePath, p.arrived(p.keptCodes))
	p.handle("GET /login", p.onceSetUp(p.arrived(p.showLogin)))
	p.handle("POST /login", p.onceSetUp(p.login))
	p.handle("POST /theme", p.arrived(p.setTheme))
	p.handle("GET /help", p.arrived(p.help))

	p.page("POST /logout", p.logout)
	p.page("GET /{$}", p.overview)
	p.page("GET /account", p.account)
	p.page("POST /account/password", p.setPassword)
	p.page("POST /account/totp", p.beginTOTP)
	p.page("GET /account/totp", p.showTOTP)
	p.page("POST /account/totp/use", p.useTOTP)
	p.page("POST /account/totp/remove", p.removeTOTP)
	p.page("GET /once/{id}", p.showOnce)
	p.page("POST /once/{id}", p.kept)

	p.page("GET /sites/{site}/state", p.siteState)
	for _, verb := range []string{"start", "stop", "drain"} {
		p.page("GET /sites/{site}/"+verb, p.askRunSite(verb))
		p.page("POST /sites/{site}/"+verb, p.runSite(verb))
	}
	p.page("GET /users", p.usersOfSomeSite)
	p.page("GET /sites/{site}/users.csv", p.exportUsers)
	// Not below users: one of them may be called like anything.
	p.page("GET /sites/{site}/bulk-users", p.bulk)
	p.page("POST /sites/{site}/bulk-users", p.bulk)
	p.page("GET /sites/{site}/import-users", p.showImport)
	p.signedIn("POST /sites/{site}/import-users", p.readParts, p.importUsers)
	p.page("GET /sites/{site}/sessions", p.sessions)
	p.page("GET /sites/{site}/sessions.csv", p.exportSessions)
	p.page("POST /sites/{site}/sessions/kick", p.kick)
	p.page("GET /sessions", p.sessionsOfSomeSite)
	p.page("GET /audit", p.audit)
	p.page("GET /audit.csv", p.exportAudit)
	p.page("GET /updates", p.updates)
	p.backupRoutes()
	p.restoreRoutes()
	for _, res := range resources() {
		p.resource(res)
	}
	p.handle("/", p.arrived(p.nowhere))
}
