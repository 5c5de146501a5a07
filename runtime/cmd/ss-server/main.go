// ss-server is the file transfer server. `run` is what the service manager starts;
// the other verbs are what ss-setup and administrators call.
package main

import (
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"ss-setup/runtime/verbs"
)

const name = "ss-server"

func main() { os.Exit(verbs.Main(app(), os.Args)) }

func app() *cli.App {
	return &cli.App{
		Name:  name,
		Usage: "the SS Server file transfer server",
		Commands: slices.Concat([]*cli.Command{
			runVerb(), statusCommand(), setupCommand(), genssc(), reloadCommand(), logLevelCommand(), auditCommand(), backupCommand(), restoreCommand(), checkBackupCommand(), importCommand(),
			snapshotCommand(), repairCommand(), changesCommand(), hostKeysCommand(), tokenCommand(), passwordCommand(), twoFactorCommand(),
		}, verbs.ForStore(schema()), fixtureVerbs()),
	}
}
