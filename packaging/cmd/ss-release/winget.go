package main

import (
	"flag"
	"fmt"
	"io"
	"slices"

	"ss-setup/packaging/winget"
)

const wingetUsage = `  ss-release winget --version V --url URL --sha256 SUM --out DIR
                    [--type zip|nullsoft] [--id PUBLISHER.PACKAGE] [--publisher NAME]
`

// wingetManifests renders the manifests of a release for winget.
func wingetManifests(args []string, stdout, stderr io.Writer) int {
	var o winget.Options
	var out string
	f := flag.NewFlagSet("winget", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() { fmt.Fprint(stderr, "usage:\n"+wingetUsage) }
	f.StringVar(&o.Version, "version", "", "version of the release, as 7.0.0")
	f.StringVar(&o.URL, "url", "", "https address of the installer")
	f.StringVar(&o.SHA256, "sha256", "", "SHA-256 of the installer")
	f.StringVar(&o.Type, "type", winget.Zip, "what the installer is: zip, the bundle, or nullsoft, the wizard")
	f.StringVar(&o.ID, "id", defaultWingetID, "identifier of the package")
	f.StringVar(&o.Publisher, "publisher", defaultPublisher, "who publishes it")
	f.StringVar(&out, "out", "", "folder to write the manifests into")
	if err := f.Parse(args); err != nil {
		return 2
	}
	if f.NArg() > 0 || out == "" {
		fmt.Fprintf(stderr, "ss-release: winget takes flags only, and needs --out\n%s", "usage:\n"+wingetUsage)
		return 2
	}
	names, err := winget.Write(o, out)
	if err != nil {
		fmt.Fprintf(stderr, "ss-release: %v\n", err)
		return 1
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintln(stdout, name)
	}
	return 0
}
