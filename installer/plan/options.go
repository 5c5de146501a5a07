package plan

import (
	"errors"
	"fmt"
	"time"

	"ss-setup/installer/machine"
	"ss-setup/runtime/config"
)

// The refusals of this package; each has an exit code of its own.
var (
	ErrUsage            = errors.New("wrong usage")
	ErrNothingInstalled = errors.New("nothing is installed")
	ErrNewerInstalled   = errors.New("a newer version is installed")
	ErrUnsupported      = errors.New("not supported")
	ErrDamaged          = errors.New("the installation is damaged")
	ErrNotExported      = errors.New("the old version cannot be exported")
)

// The ports that services listen on unless told otherwise.
const (
	DefaultWebPort     = 6443
	DefaultLicensePort = 2380
)

// DefaultHealthTimeout is how long a new release has to become healthy.
const DefaultHealthTimeout = 30 * time.Second

// Options are what the user asked for.
type Options struct {
	Update bool `json:"update,omitempty"`
	Repair bool `json:"repair,omitempty"`
	Force  bool `json:"force,omitempty"`

	WebPort     int `json:"web_port,omitempty"`
	LicensePort int `json:"license_port,omitempty"`

	// LicenseMode is local or client; empty is local. A client's LicenseServer is
	// HOST:PORT.
	LicenseMode   string `json:"license_mode,omitempty"`
	LicenseServer string `json:"license_server,omitempty"`

	// ServiceUser runs ss-server in place of the account of that name.
	ServiceUser   string        `json:"service_user,omitempty"`
	OpenFirewall  bool          `json:"open_firewall,omitempty"`
	HealthTimeout time.Duration `json:"health_timeout,omitempty"`

	Purge      bool `json:"purge,omitempty"`
	PurgeFiles bool `json:"purge_files,omitempty"`

	// FirstSetUp is what a first install sets the server up with; nil for nothing.
	FirstSetUp *FirstSetUp `json:"first_set_up,omitempty"`

	// Import is the backup that a new store is filled with; empty for none, or for that
	// of the version 6 on this machine.
	Import string `json:"import,omitempty"`
	// Moving is what else comes with a server that moves here; nil for none.
	Moving *Moving `json:"moving,omitempty"`

	// Offline: the machine is a folder, or one on which nothing can be or is to be
	// started.
	Offline bool `json:"offline,omitempty"`
	// ManagedBy is the package manager that runs this, dpkg or rpm; empty when a
	// person does.
	ManagedBy string `json:"managed_by,omitempty"`
	// Silent and Yes say how questions are answered; they change no plan.
	Silent bool `json:"-"`
	Yes    bool `json:"-"`
}

// FirstSetUp is what everybody may know of a first set-up.
type FirstSetUp struct {
	Node       string `json:"node,omitempty"`
	SuperAdmin string `json:"superadmin"`
	Site       string `json:"site,omitempty"`
	User       string `json:"user,omitempty"`
	Folder     string `json:"folder,omitempty"`
	// Port is 0 for the usual one, or another where that is taken.
	Port int `json:"port,omitempty"`
}

func (o Options) checkInstall() error {
	modes := 0
	for _, set := range []bool{o.Update, o.Repair, o.Force} {
		if set {
			modes++
		}
	}
	if modes > 1 {
		return fmt.Errorf("%w: --update, --repair and -F exclude each other; choose one", ErrUsage)
	}
	for _, p := range []struct {
		flag string
		port int
	}{{"--web-port", o.WebPort}, {"--license-port", o.LicensePort}} {
		if p.port < 0 || p.port > 65535 {
			return fmt.Errorf("%w: %s is %d; a port is a number from 1 to 65535", ErrUsage, p.flag, p.port)
		}
	}
	if err := o.checkImport(); err != nil {
		return err
	}
	if err := checkServiceUser(o.ServiceUser); err != nil {
		return err
	}
	if o.web() == o.license() {
		return fmt.Errorf("%w: --web-port and --license-port are both %d; choose two", ErrUsage, o.web())
	}
	return nil
}

func (o Options) checkImport() error {
	switch {
	case o.Import == "":
	case o.FirstSetUp != nil:
		return fmt.Errorf("%w: what is imported brings its own SuperAdmins and sites; take superadmin and first_site out of the answers, or leave out --import", ErrUsage)
	case o.Offline:
		return fmt.Errorf("%w: nothing is imported where nothing is started; import on the machine after its first start with: ss-server import FILE", ErrUsage)
	}
	return nil
}

// licensed is the configuration of the license daemon on a first install.
func (o Options) licensed() []byte {
	if o.LicenseMode == config.RoleClient {
		return config.RenderLicenseClient(o.license(), o.LicenseServer)
	}
	return config.RenderLicensed(o.license())
}

func (o Options) web() int     { return orDefault(o.WebPort, DefaultWebPort) }
func (o Options) license() int { return orDefault(o.LicensePort, DefaultLicensePort) }

func orDefault(port, standard int) int {
	if port == 0 {
		return standard
	}
	return port
}

func (o Options) serverAccount() string {
	if o.ServiceUser != "" {
		return o.ServiceUser
	}
	return ownAccount(machine.ServerService)
}
