package main

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"ss-setup/packaging/release"
)

const scriptsUsage = `  ss-release scripts --version V --dist DIR --base-url URL [--mirror URL]...
                     [--targets OS/ARCH,...] [--templates DIR] --out DIR
`

// renderScripts is the verb scripts: the one-liners that download and install a release.
func renderScripts(args []string, stdout, stderr io.Writer) int {
	var (
		o       release.ScriptOptions
		base    string
		mirrors []string
		targets string
	)
	f := flag.NewFlagSet("scripts", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() { fmt.Fprint(stderr, "usage:\n"+scriptsUsage) }
	f.StringVar(&o.Version, "version", "", "version of the release, as 7.0.0")
	f.StringVar(&o.Dist, "dist", "", "folder with the packages that the scripts will download")
	f.StringVar(&base, "base-url", "", "address of the folder that users download from")
	f.Func("mirror", "another such address, asked when those before it fail (repeatable)", func(v string) error {
		mirrors = append(mirrors, v)
		return nil
	})
	f.StringVar(&targets, "targets", "", "render for these only, as linux/amd64,linux/arm64")
	f.StringVar(&o.Templates, "templates", "scripts/install", "folder with the templates")
	f.StringVar(&o.Out, "out", "", "folder to write the scripts into")
	if err := f.Parse(args); err != nil {
		return 2
	}
	if f.NArg() > 0 {
		fmt.Fprintf(stderr, "ss-release: scripts takes flags only, not %q\n%s", f.Arg(0), "usage:\n"+scriptsUsage)
		return 2
	}
	if base != "" {
		o.Bases = append([]string{base}, mirrors...)
	}
	if targets != "" {
		o.Targets = strings.Split(targets, ",")
	}
	names, err := release.Scripts(o)
	if err != nil {
		fmt.Fprintf(stderr, "ss-release: %v\n", err)
		return 1
	}
	if strings.HasPrefix(base, "http://") {
		fmt.Fprintln(stderr, "ss-release: warning: over http:// anybody on the way can change the scripts; use https://")
	}
	fmt.Fprintf(stdout, "%s: %s\n", o.Out, strings.Join(names, ", "))
	return 0
}
