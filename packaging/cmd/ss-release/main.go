// Command ss-release is the vendor's side: it packs the programs of a release into
// the bundle that ss-setup installs.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"ss-setup/packaging/release"
	"ss-setup/runtime/version"
)

const usage = `usage:
  ss-release bundle --version V --bin DIR --services DIR --setup FILE --out DIR
                    [--os OS --arch ARCH] [--level 1..19]
` + scriptsUsage + packagesUsage + wingetUsage + `  ss-release version
`

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run returns 0 when done, 1 when it failed, 2 for wrong usage.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	switch args[0] {
	case "bundle":
		return bundle(args[1:], stdout, stderr)
	case "scripts":
		return renderScripts(args[1:], stdout, stderr)
	case "packages":
		return makePackages(args[1:], stdout, stderr)
	case "winget":
		return wingetManifests(args[1:], stdout, stderr)
	case "version", "--version":
		fmt.Fprintln(stdout, "ss-release", version.Version)
		return 0
	case "help", "-h", "--help":
		fmt.Fprint(stdout, usage)
		return 0
	}
	fmt.Fprintf(stderr, "ss-release: no verb %q\n%s", args[0], usage)
	return 2
}

func bundle(args []string, stdout, stderr io.Writer) int {
	var o release.Options
	f := flag.NewFlagSet("bundle", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.Version, "version", "", "version of the release, as 7.0.0")
	f.StringVar(&o.Bin, "bin", "", "folder with the runtime programs")
	f.StringVar(&o.Services, "services", "", "folder with the service definitions")
	f.StringVar(&o.Setup, "setup", "", "the ss-setup program")
	f.StringVar(&o.Out, "out", "", "folder to write the bundle into")
	f.StringVar(&o.OS, "os", "", "operating system of the target (default: that of --setup)")
	f.StringVar(&o.Arch, "arch", "", "architecture of the target (default: that of --setup)")
	f.IntVar(&o.Level, "level", 3, "zstd level, 1 fast to 19 small")
	if err := f.Parse(args); err != nil {
		return 2
	}
	if f.NArg() > 0 {
		fmt.Fprintf(stderr, "ss-release: bundle takes flags only, not %q\n%s", f.Arg(0), usage)
		return 2
	}
	m, err := release.Bundle(o)
	if err != nil {
		fmt.Fprintf(stderr, "ss-release: %v\n", err)
		return 1
	}
	fmt.Fprintf(stdout, "%s: %s %s for %s/%s, %d files, payload %d bytes\n",
		o.Out, m.Product, m.Version, m.OS, m.Arch, len(m.Files), m.Payload.Size)
	return 0
}
