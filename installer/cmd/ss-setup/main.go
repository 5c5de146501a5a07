// Command ss-setup installs, updates, repairs and removes SS Server.
package main

import (
	"os"

	"ss-setup/installer/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], cli.OSStreams())) }
