// Command ss-release is the vendor's side: it packs the programs of a release into
// the bundle that ss-setup installs.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"ss-setup/runtime/version"
)

// signatureUsage is how verbs are told whose Authenticode signature programs get.
const signatureUsage = `                    [--cert FILE --key FILE] [--ca FILE] [--timestamp-url URL]
                    [--development-keys DIR]`

const usage = `usage:
  ss-release keys init [--keys DIR] [--development]
  ss-release keys rotate ROLE [--keys DIR]
  ss-release keys renew [--keys DIR]
  ss-release bundle --version V --bin DIR --services DIR --setup FILE --out DIR
                    [--os OS --arch ARCH] [--level 1..19]
                    [--keys DIR] [--channel stable|beta] [--keep N]
  ss-release publish --bundles DIR,… [--keys DIR] [--out DIR] [--base-url URL]
                    [--channel stable|beta] [--previous DIR,…] [--changelog FILE]
                    [--bin DIR] [--keep N] [--mirror URL]... [--templates DIR]
                    [--packages deb,rpm] [--maintainer 'NAME <ADDRESS>']
                    [--winget-id PUBLISHER.PACKAGE] [--publisher NAME]
                    [--wizard] [--license FILE]
` + signatureUsage + `
  ss-release wizard --bundle DIR --helper FILE --out FILE [--license FILE]
                    [--compressor lzma|zlib]
` + signatureUsage + `
  ss-release refresh [--keys DIR] [--site DIR]
  ss-release promote VERSION CHANNEL [--keys DIR] [--site DIR]
  ss-release withdraw VERSION [--keys DIR] [--site DIR]
  ss-release announce --url URL [--token-file FILE] [--body FILE] [--version V]
                    [--changelog FILE]  (the notes come from CHANGELOG.md unless named)
  ss-release authenticode --files FILE,…
` + signatureUsage + "\n" + scriptsUsage + packagesUsage + wingetUsage + `  ss-release version
`

// usageOf is the part of usage for one verb, such as keys or publish, or all of it for
// a word that is none.
func usageOf(verb string) string {
	const lead = "  ss-release "
	var own strings.Builder
	for part := range strings.SplitSeq(strings.TrimPrefix(usage, "usage:\n"+lead), "\n"+lead) {
		if word, _, _ := strings.Cut(strings.TrimSpace(part), " "); word == verb {
			own.WriteString(lead + strings.TrimSuffix(part, "\n") + "\n")
		}
	}
	if own.Len() == 0 {
		return usage
	}
	return "usage:\n" + own.String()
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run returns 0 when done, 1 when it failed, 2 for wrong usage.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	if do, known := verbs[args[0]]; known {
		c := &command{name: args[0], stdout: stdout, stderr: stderr}
		return c.end(do(c, args[1:]))
	}
	switch args[0] {
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

// verbs are what ss-release does, by name.
var verbs = map[string]func(*command, []string) error{
	"keys":         (*command).keys,
	"bundle":       (*command).bundle,
	"publish":      (*command).publish,
	"refresh":      (*command).refresh,
	"withdraw":     (*command).withdraw,
	"promote":      (*command).promote,
	"announce":     (*command).announce,
	"authenticode": (*command).authenticode,
	"wizard":       (*command).wizard,
}

// command is one call of a verb.
type command struct {
	name           string
	stdout, stderr io.Writer
}

// verb is the first word of the name: keys of keys rotate.
func (c *command) verb() string {
	verb, _, _ := strings.Cut(c.name, " ")
	return verb
}

// errUsage is wrong usage; what is wrong has been told where it wraps nothing.
var errUsage = errors.New("wrong usage")

// end tells an error and turns it into an exit code.
func (c *command) end(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(c.stderr, "ss-release: %v\n%s", err, usageOf(c.verb()))
		return 2
	}
	fmt.Fprintf(c.stderr, "ss-release: %v\n", err)
	return 1
}

// flags is the set of flags of a verb.
func (c *command) flags() *flag.FlagSet {
	f := flag.NewFlagSet(c.name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	return f
}

// parse reads flags, before and after at most the given number of arguments.
func (c *command) parse(f *flag.FlagSet, args []string, arguments int) ([]string, error) {
	var words []string
	for {
		if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(c.stdout, usageOf(c.verb()))
			return nil, err
		} else if err != nil {
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		if f.NArg() == 0 {
			break
		}
		words, args = append(words, f.Arg(0)), f.Args()[1:]
	}
	switch {
	case arguments == 0 && len(words) > 0:
		return nil, fmt.Errorf("%w: %s takes flags only, not %q", errUsage, c.name, words[0])
	case len(words) != arguments:
		return nil, fmt.Errorf("%w: %s takes %d arguments, not %d", errUsage, c.name, arguments, len(words))
	}
	return words, nil
}

func (c *command) say(format string, args ...any) { fmt.Fprintf(c.stdout, format+"\n", args...) }
