package cli

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"ss-setup/installer/answers"
)

// program is the name of this program in every command that a message names.
const program = "ss-setup"

// usagef is a failure of wrong usage; right is the command to type instead.
func usagef(right, format string, args ...any) error {
	f := &Failure{Exit: WrongUsage, Err: fmt.Errorf(format, args...)}
	if right != "" {
		f.Cure = "run: " + right
	}
	return f
}

// exclusive are flags of which at most one may be given.
var exclusive = [][]string{
	{"update", "repair", "force"},
	{"plan", "preflight-only"},
	{"keep-data", "purge"},
	{"keep-data", "purge-files"},
}

// checkFlags refuses combinations that contradict themselves. The commands that it
// names have all the other flags of the line: without --root they would be about
// another machine.
func checkFlags(c *cli.Context, args []string) error {
	for _, group := range exclusive {
		var given, commands []string
		rest := withoutFlags(args, c.Command, group)
		for _, name := range group {
			if c.Bool(name) {
				given = append(given, "--"+name+fromEnvironment(c.Command, args, name))
				commands = append(commands, again(append(slices.Clone(rest), "--"+name)...))
			}
		}
		if len(given) > 1 {
			return usagef(strings.Join(commands, "   or: "), "%s contradict each other: choose one", strings.Join(given, " and "))
		}
	}
	if c.Bool("purge-files") && !c.Bool("purge") {
		return usagef(again(append(slices.Clone(args), "--purge")...), "--purge-files goes with --purge only: it removes what users stored as well")
	}
	if web, license := c.Int("web-port"), c.Int("license-port"); web != 0 && web == license {
		return usagef("", "--web-port and --license-port are both %d; choose two different ports", web)
	}
	return nil
}

// checkEmpty refuses a flag on the command line that has an empty value, as that of a
// variable that is not set: it would be passed over, and --root with it.
func checkEmpty(c *cli.Context, args []string) error {
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		if _, isText := f.(*cli.StringFlag); !isText || c.String(name) != "" {
			continue
		}
		if slices.ContainsFunc(args, func(word string) bool { return isFlag(word, f) }) {
			return usagef("", "--%s is empty; name a value, or leave it out", name)
		}
	}
	return nil
}

// ownVariables begin like the twin of a flag and are none.
var ownVariables = []string{stagedVariable, calledVariable, frontVariable}

// unknownVariables says which variables look like the twin of a flag and are none of
// any verb's: a misspelt one would be passed over.
func unknownVariables(app *cli.App, environ []string) []string {
	known := slices.Clone(ownVariables)
	for _, verb := range app.Commands {
		for _, f := range verb.Flags {
			known = append(known, envTwin(f.Names()[0])...)
		}
	}
	var out []string
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		if value == "" || !strings.HasPrefix(name, envPrefix) || slices.Contains(known, name) || forTests(name) {
			continue
		}
		text := fmt.Sprintf("the environment variable %s is the twin of no flag, and is passed over", name)
		if near := nearest(name, known); near != "" {
			text += "; the nearest is " + near
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}

// forTests tells the variables by which tests of crashes talk to a build for them.
func forTests(name string) bool {
	return name == envPrefix+"RECORD" || strings.HasPrefix(name, envPrefix+"FAULT")
}

// isFlag tells a word of a command line that is the flag of that name, or its letter
// alone: "-F", "--force", "--force=true".
func isFlag(word string, f cli.Flag) bool {
	bare, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	return strings.HasPrefix(word, "-") && slices.Contains(f.Names(), bare)
}

// withoutFlags is a command line without some flags that are true or false.
func withoutFlags(args []string, verb *cli.Command, names []string) []string {
	return slices.DeleteFunc(slices.Clone(args), func(word string) bool {
		return slices.ContainsFunc(verb.Flags, func(f cli.Flag) bool {
			return slices.Contains(names, f.Names()[0]) && isFlag(word, f)
		})
	})
}

// fromEnvironment names the variable when a flag was not given on the command line.
func fromEnvironment(verb *cli.Command, args []string, name string) string {
	twin := envTwin(name)[0]
	if os.Getenv(twin) == "" || len(withoutFlags(args, verb, []string{name})) < len(args) {
		return ""
	}
	return " (" + twin + ")"
}

// withFrom is a command line that names the package as DIR.
func withFrom(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case strings.TrimLeft(a, "-") == "from" && strings.HasPrefix(a, "-"):
			i++
		case strings.HasPrefix(strings.TrimLeft(a, "-"), "from=") && strings.HasPrefix(a, "-"):
		default:
			out = append(out, a)
		}
	}
	return append(out, "--from", "DIR")
}

// noArguments refuses arguments where a verb takes none.
func noArguments(c *cli.Context, args []string) error {
	if !c.Args().Present() {
		return nil
	}
	first := c.Args().First()
	meant := func(words ...string) string {
		at := slices.Index(args, first)
		return again(slices.Replace(slices.Clone(args), at, at+1, words...)...)
	}
	for _, f := range c.Command.VisibleFlags() {
		if f.Names()[0] == first {
			return usagef(meant("--"+first), "%s takes no argument %q", c.Command.Name, first)
		}
	}
	if c.Command.Name == "install" && first != "help" && !strings.HasPrefix(first, "-") {
		return usagef(meant("--from", first), "install takes no argument %q", first)
	}
	return usagef(again(c.Command.Name, "--help"), "%s takes no argument %q", c.Command.Name, first)
}

// oneGeneration reads the argument of forget.
func oneGeneration(c *cli.Context) (int, error) {
	image := []string{}
	if root := c.String("root"); root != "" {
		image = []string{"--root", root}
	}
	right := again(append([]string{"status"}, image...)...) +
		"\nit lists the generations; then run: " + again(append([]string{"forget", "NUMBER"}, image...)...)
	if c.NArg() != 1 {
		return 0, usagef(right, "forget needs the number of one generation")
	}
	n, err := strconv.Atoi(c.Args().First())
	if err != nil || n < 1 {
		return 0, usagef(right, "%q is not the number of a generation", c.Args().First())
	}
	return n, nil
}

// wrongVariable is the flag package's message for the value of an environment variable.
var wrongVariable = regexp.MustCompile(`^could not parse "(.*)" as (\S+) value from environment variable "([^"]+)" for flag ([^:]+):`)

// allowedFor says what the values of a flag are that the flag package takes as kind.
func allowedFor(flag, kind string) string {
	for _, k := range answers.Keys {
		if k.Flag() == flag {
			return k.Allowed
		}
	}
	switch kind {
	case "bool":
		return "true or false"
	case "duration":
		return "a time, such as 30s or 2m"
	}
	return "a number"
}

// unknownFlag rewrites the flag package's message, and offers the nearest flag.
func unknownFlag(c *cli.Context, err error, args []string) error {
	const undefined = "flag provided but not defined: -"
	message := err.Error()
	if parts := wrongVariable.FindStringSubmatch(message); parts != nil {
		return usagef("", "%s is %q; as --%s it can be %s", parts[3], parts[1], parts[4], allowedFor(parts[4], parts[2]))
	}
	name, isUnknown := strings.CutPrefix(message, undefined)
	verb, help := program, again("--help")
	if c.Command != nil && c.Command.Name != "" && c.Command.Name != program {
		verb += " " + c.Command.Name
		help = again(c.Command.Name, "--help")
	}
	if !isUnknown {
		message, _, _ = strings.Cut(message, ": strconv.")
		message = strings.TrimSuffix(message, ": parse error")
		if strings.Contains(message, "health-timeout") {
			message += "; write a time as 30s or 2m"
		}
		return usagef(help, "%s", strings.Replace(message, " -", " --", 1))
	}
	name = strings.TrimLeft(name, "-")
	if c.Command != nil && name == "output" && takesJSON(c.Command) {
		return usagef(again(withJSON(args)...), "%s has no flag --output; it answers in JSON with --json", verb)
	}
	near := nearFlag(c, name)
	if near == "" {
		dashes := "--"
		if len(name) == 1 {
			dashes = "-"
		}
		return usagef(help, "%s has no flag %s%s", verb, dashes, name)
	}
	return usagef(corrected(args, name, near), "%s has no flag --%s; the nearest is --%s", verb, name, near)
}

// withJSON is a command line with --json in the place of --output.
func withJSON(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		switch bare, _, has := strings.Cut(args[i], "="); {
		case bare == "--output" && !has && i+1 < len(args):
			i++
		case bare == "--output":
		default:
			out = append(out, args[i])
		}
	}
	return append(out, "--json")
}

// takesJSON tells a verb that only looks.
func takesJSON(verb *cli.Command) bool {
	return slices.ContainsFunc(verb.Flags, func(f cli.Flag) bool { return f.Names()[0] == "json" })
}

// nearFlag is empty when nothing resembles name.
func nearFlag(c *cli.Context, name string) string {
	if c.Command == nil {
		return ""
	}
	var names []string
	for _, f := range c.Command.VisibleFlags() {
		names = append(names, f.Names()[0])
	}
	return nearest(name, names)
}

// corrected is the command line with the right spelling of one flag.
func corrected(args []string, wrong, right string) string {
	var fixed []string
	for _, a := range args {
		bare, value, has := strings.Cut(strings.TrimLeft(a, "-"), "=")
		if strings.HasPrefix(a, "-") && bare == wrong {
			a = "--" + right
			if has {
				a += "=" + value
			}
		}
		fixed = append(fixed, a)
	}
	return again(fixed...)
}

// nearest is the name that a slip of the finger makes word of, empty when none
// is so near that it must have been meant.
func nearest(word string, names []string) string {
	best, distance := "", 2
	if len(word) < 5 {
		distance = 1
	}
	for _, n := range names {
		d := editDistance(word, n)
		if strings.HasPrefix(n, word) && len(word) >= 3 {
			d = 1
		}
		if d < distance || d == distance && best == "" {
			best, distance = n, d
		}
	}
	return best
}

// editDistance counts the letters to change, add, drop or swap with the next.
func editDistance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := d[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			d[i][j] = min(replace, d[i-1][j]+1, d[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

// flagsFirst moves flags in front of arguments, since the parser stops at the
// first argument: "forget 3 --yes" means "forget --yes 3".
func flagsFirst(verb *cli.Command, args []string) []string {
	var flags, rest []string
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			return slices.Concat(flags, []string{"--"}, rest, args[i+1:])
		}
		if len(a) < 2 || a[0] != '-' {
			rest = append(rest, a)
			continue
		}
		flags = append(flags, a)
		if takesValue(verb, a) && i+1 < len(args) {
			i++
			flags = append(flags, args[i])
		}
	}
	return slices.Concat(flags, rest)
}

func takesValue(verb *cli.Command, arg string) bool {
	if strings.Contains(arg, "=") {
		return false
	}
	name := strings.TrimLeft(arg, "-")
	for _, f := range verb.Flags {
		if slices.Contains(f.Names(), name) {
			_, isBool := f.(*cli.BoolFlag)
			return !isBool
		}
	}
	return false
}
