package cli

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"ss-setup/installer/bundle/trust"
	"ss-setup/installer/plan"
	"ss-setup/runtime/config"
	setup "ss-setup/runtime/setup/answers"
)

// envPrefix begins the environment twin of every flag.
const envPrefix = "SS_SETUP_"

// defaultHealthTimeout is how long a release may take to answer.
const defaultHealthTimeout = 30 * time.Second

func envTwin(name string) []string {
	return []string{envPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))}
}

func boolFlag(name, usage string, aliases ...string) cli.Flag {
	return &cli.BoolFlag{Name: name, Aliases: aliases, Usage: usage, EnvVars: envTwin(name), DisableDefaultText: true}
}

// textFlag has the name of its value in backticks in usage.
func textFlag(name, usage string) cli.Flag {
	return &cli.StringFlag{Name: name, Usage: usage, EnvVars: envTwin(name)}
}

func portFlag(name string, standard int) cli.Flag {
	return &cli.IntFlag{
		Name: name, EnvVars: envTwin(name), DefaultText: fmt.Sprint(standard),
		Usage: "listen on `PORT`, for a first install",
		Action: func(_ *cli.Context, port int) error {
			if port < 1 || port > 65535 {
				return usagef("", "--%s is %d; a port is a number from 1 to 65535", name, port)
			}
			return nil
		},
	}
}

// managedByFlag is how the scripts of a package say whose they are.
func managedByFlag() cli.Flag {
	return &cli.StringFlag{Name: "managed-by", Hidden: true, Action: func(_ *cli.Context, v string) error {
		if v != plan.ManagerDPKG && v != plan.ManagerRPM {
			return usagef("", "--managed-by is %q; it is dpkg or rpm", v)
		}
		return nil
	}}
}

func licenseModeFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "license-mode", EnvVars: envTwin("license-mode"), DefaultText: config.RoleLocal,
		Usage: "take licenses from `WHERE`, for a first install: local or client",
		Action: func(_ *cli.Context, v string) error {
			switch v {
			case config.RoleLocal, config.RoleClient:
				return nil
			case "server":
				return usagef("", "--license-mode server is not in this version; choose local or client")
			}
			return usagef("", "--license-mode is %q; choose local or client", v)
		},
	}
}

func lockWaitFlag() cli.Flag {
	return &cli.DurationFlag{
		Name: "lock-wait", EnvVars: envTwin("lock-wait"), DefaultText: "0s",
		Usage: "wait up to `TIME` for the end of another ss-setup",
		Action: func(_ *cli.Context, d time.Duration) error {
			if d < 0 {
				return usagef("", "--lock-wait is %s; it must not be less than nothing, such as 60s", d)
			}
			return nil
		},
	}
}

// machineFlags say which machine is meant.
func machineFlags() []cli.Flag {
	return []cli.Flag{
		textFlag("root", "work on the image in `DIR`; nothing is started"),
	}
}

// changeFlags are those of every verb that changes the machine.
func changeFlags() []cli.Flag {
	return append([]cli.Flag{
		boolFlag("silent", "ask nothing, print only warnings and errors", "S"),
		boolFlag("yes", "answer every question with yes"),
		boolFlag("plan", "show what would be done and its hash, change nothing"),
		textFlag("expect-plan", "change nothing unless the plan has this `HASH`"),
		boolFlag("trace", "log every single change"),
		boolFlag("norollback", "when a step fails leave everything as it is then"),
		&cli.StringFlag{
			Name: "output", Value: string(outputAuto), EnvVars: envTwin("output"),
			Usage: "show what happens `HOW`: auto, bar, plain or json", DefaultText: string(outputAuto), Action: checkOutput,
		},
		textFlag("log", "write the log to `FILE`, in a folder that is there"),
		lockWaitFlag(),
		&cli.DurationFlag{
			Name: "health-timeout", Value: defaultHealthTimeout, EnvVars: envTwin("health-timeout"),
			Usage: "`TIME` that a service may take to answer",
			Action: func(_ *cli.Context, d time.Duration) error {
				if d <= 0 {
					return usagef("", "--health-timeout is %s; it must be longer than nothing, such as 30s", d)
				}
				return nil
			},
		},
	}, machineFlags()...)
}

func installFlags() []cli.Flag {
	return append([]cli.Flag{
		boolFlag("update", "update what is installed; refuse when nothing is"),
		boolFlag("repair", "put right whatever differs from what was installed"),
		boolFlag("force", "install afresh beside what is there", "F"),
		textFlag("from", "take the package at `PLACE`: its folder or a file in it, its archive, or the address of a repository; else the one beside this program"),
		textFlag("version", "install `VERSION` and no other"),
		portFlag("web-port", 6443),
		portFlag("license-port", 2380),
		portFlag("sftp-port", setup.DefaultPort),
		licenseModeFlag(),
		textFlag("license-server", "take licenses from the license server `NAME[:PORT]`, with --license-mode client"),
		textFlag("service-user", "run the server as the account `NAME`, for a first install"),
		boolFlag("open-firewall", "open the ports in the firewall of this machine"),
		textFlag("answers", "take what no flag says from the answers `FILE`"),
		textFlag("save-answers", "write what this run used into `FILE`, for --answers"),
		boolFlag("preflight-only", "run the checks, change nothing"),
		boolFlag("no-start", "start nothing; what is enabled starts with the machine"),
		managedByFlag(),
	}, slices.Concat(importFlags(), networkFlags(), changeFlags())...)
}

// networkFlags say which releases are looked for, and how they are reached.
func networkFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name: "channel", Value: trust.Stable, EnvVars: envTwin("channel"), Usage: "`stable` or beta",
			Action: func(_ *cli.Context, channel string) error {
				if channel != trust.Stable && channel != trust.Beta {
					return usagef("", "--channel is %q; choose stable or beta", channel)
				}
				return nil
			},
		},
		&cli.StringSliceFlag{Name: "mirror", EnvVars: envTwin("mirror"), Usage: "ask this `ADDRESS` of the repository when the one before fails; may be repeated"},
		textFlag("proxy", "reach the repository through the proxy at `ADDRESS`, or none; else as the environment says"),
		textFlag("ca-file", "trust the certificates in `FILE` for the connection, too"),
	}
}

func checkUpdateFlags() []cli.Flag {
	return append([]cli.Flag{
		textFlag("from", "ask the repository at `ADDRESS`"),
	}, append(networkFlags(), jsonFlags()...)...)
}

func uninstallFlags() []cli.Flag {
	return append([]cli.Flag{
		boolFlag("keep-data", "keep the data, as without any flag"),
		boolFlag("purge", "remove the data as well, but not what users stored"),
		boolFlag("purge-files", "with --purge: remove also what users stored"),
		managedByFlag(),
	}, changeFlags()...)
}

func recoverFlags() []cli.Flag {
	flags := append([]cli.Flag{
		&cli.BoolFlag{Name: "guard", Hidden: true},
		&cli.BoolFlag{Name: "boot", Hidden: true},
		&cli.BoolFlag{Name: "service", Hidden: true},
	}, changeFlags()...)
	return without(flags, "plan", "expect-plan", "norollback", "yes")
}

func jsonFlags() []cli.Flag {
	return append([]cli.Flag{boolFlag("json", "answer in JSON")}, machineFlags()...)
}

func without(flags []cli.Flag, names ...string) []cli.Flag {
	var kept []cli.Flag
	for _, f := range flags {
		if !contains(names, f.Names()[0]) {
			kept = append(kept, f)
		}
	}
	return kept
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// settings are the flags of a verb as values.
type settings struct {
	verb    string
	options plan.Options
	// args is the command line as given, without the program.
	args []string

	from, root, logFile, expectPlan string
	// version and channel choose a release, the others say how it is reached.
	version, channel, proxy, caFile string
	mirrors                         []string
	// channelGiven: the channel is no mere standard.
	channelGiven                  bool
	planOnly, preflightOnly       bool
	trace, noRollback, jsonAnswer bool
	guard, boot, service          bool
	noStart                       bool
	lockWait                      time.Duration
	output                        output
	generation                    int // of forget
	// folder is that of a server that moves; cancelMove and filesLater are flags of the
	// verbs that move it.
	folder                 string
	cancelMove, filesLater bool
	// first is what the server is set up with after a first install, with passwords; nil
	// for nothing.
	first   *setup.Answers
	imports importSettings
	// saveAnswers is where used goes: the keys of an answers file with the values
	// of this run.
	saveAnswers string
	used        map[string]string
}

func readSettings(c *cli.Context, args []string, first *setup.Answers) (settings, error) {
	var err error
	s := settings{
		verb: c.Command.Name, args: args,
		from: c.String("from"), root: c.String("root"), logFile: c.String("log"), expectPlan: c.String("expect-plan"),
		version: c.String("version"), channel: c.String("channel"), proxy: c.String("proxy"), caFile: c.String("ca-file"),
		mirrors: c.StringSlice("mirror"), channelGiven: c.IsSet("channel") && c.String("channel") != "",
		planOnly: c.Bool("plan"), preflightOnly: c.Bool("preflight-only"),
		trace: c.Bool("trace"), noRollback: c.Bool("norollback"), jsonAnswer: c.Bool("json"),
		guard: c.Bool("guard"), boot: c.Bool("boot"), service: c.Bool("service"),
		cancelMove: c.Bool("cancel"), filesLater: c.Bool("files-later"),
		noStart: c.Bool("no-start"), lockWait: c.Duration("lock-wait"),
		output: output(c.String("output")),
	}
	s.options = plan.Options{
		Update: c.Bool("update"), Repair: c.Bool("repair"), Force: c.Bool("force"),
		Silent: c.Bool("silent"), Yes: c.Bool("yes"),
		WebPort: c.Int("web-port"), LicensePort: c.Int("license-port"),
		ServiceUser: c.String("service-user"), OpenFirewall: c.Bool("open-firewall"),
		HealthTimeout: c.Duration("health-timeout"),
		Purge:         c.Bool("purge"), PurgeFiles: c.Bool("purge-files"),
		Offline:   s.root != "",
		ManagedBy: c.String("managed-by"),
	}
	if s.options.LicenseMode, s.options.LicenseServer, err = licenseFlags(c); err != nil {
		return s, err
	}
	if err := s.takeFirst(c, first); err != nil {
		return s, err
	}
	if err := s.takeImport(c); err != nil {
		return s, err
	}
	if s.saveAnswers = c.String("save-answers"); s.saveAnswers != "" {
		s.used = usedAnswers(c)
	}
	if s.options.HealthTimeout == 0 {
		s.options.HealthTimeout = defaultHealthTimeout
	}
	if s.root != "" {
		s.root, err = filepath.Abs(s.root)
	}
	return s, err
}
