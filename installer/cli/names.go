package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"ss-setup/installer/bundle"
	"ss-setup/installer/machine"
)

// names writes the commands that messages name as they work on this machine.
// Packages below name them plainly, "ss-setup recover": how this program was
// called, whether a copy is on the PATH and whether a package lies beside it is
// known here alone.
type names struct {
	// called is this program as it was called, ready for a shell.
	called string
	// root and from are the flags --root and --from of this call; may be empty.
	root, from string
	// installed finds the installed copy; empty when there is none.
	installed func() string
	// beside: a package lies beside this program.
	beside bool
	// needsPackage tells whether install needs a package: nothing is installed
	// that keeps one.
	needsPackage func() bool
}

// namesOf is for a call with these settings.
func namesOf(set settings) names {
	_, err := os.Lstat(filepath.Join(ownFolder(), bundle.ManifestName))
	files := &machine.FS{Root: set.root}
	return names{
		called: calledAs(), root: set.root, from: set.from, installed: installedCopy, beside: err == nil,
		// Without the link a release may be there all the same.
		needsPackage: func() bool { return !files.Exists(machine.Current) && !files.Exists(machine.GenerationsDir) },
	}
}

// calledVariable is how a one-liner was called that runs this program from a folder
// that goes with it: its options are those of install.
const calledVariable = "SS_SETUP_CALLED_AS"

// calledAs is this program as it was called. The copy that recovers a run and one
// that was downloaded do not stay, so nobody is told to call those.
func calledAs() string {
	name := os.Args[0]
	passing := strings.HasPrefix(name, machine.EngineDir+string(filepath.Separator)) || os.Getenv(stagedVariable) != "" || os.Getenv(calledVariable) != ""
	if !strings.ContainsRune(name, filepath.Separator) || passing {
		return program
	}
	return shellProgram(name)
}

// installedCopy is how the installed copy is called; empty when there is none.
func installedCopy() string {
	if _, err := exec.LookPath(program); err == nil {
		return program
	}
	for _, dir := range []string{machine.BinDir, machine.LocalBinDir, machine.FallbackBinDir} {
		path := filepath.Join(dir, machine.SetupName)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return shellProgram(path)
		}
	}
	return ""
}

// command is the command that a person types: command("forget", "3").
func (n names) command(verb string, words ...string) string {
	packaged := n.packaged(verb, words)
	if front := frontEnd(); front != "" && (packaged || n.installed() == "") {
		return front
	}
	all := append([]string{n.program(packaged), verb}, words...)
	if line := os.Getenv(calledVariable); line != "" && packaged && n.beside {
		all = append([]string{line}, words...)
	}
	if packaged && !n.beside && !slices.Contains(words, "--from") {
		all = append(all, "--from", n.packageDir())
	}
	if n.root != "" && !slices.Contains(words, "--root") {
		all = append(all, "--root", shellWord(n.root))
	}
	return strings.Join(all, " ")
}

// packaged tells whether the command needs a package to work with.
func (n names) packaged(verb string, words []string) bool {
	return verb == "install" && (slices.Contains(words, "--update") || n.needsPackage())
}

func (n names) packageDir() string {
	if n.from != "" {
		return shellWord(n.from)
	}
	return "DIR"
}

// program is the name to call. The installed copy comes first where a package is
// not needed: it stays where it is.
func (n names) program(packaged bool) string {
	if n.root != "" || packaged && n.beside {
		return n.called
	}
	if copied := n.installed(); copied != "" {
		return copied
	}
	return n.called
}

// plainCommand is a command as the packages below name it.
var plainCommand = regexp.MustCompile(`(^|[^\w/.-])ss-setup (install|uninstall|rollback|move-out|move-in|forget|recover|status|verify|check-update)\b((?: (?:--?[A-Za-z][a-z-]*(?:=[a-z]+)?|DIR|FILE|https?://\S+|\d+\b))*)`)

// text is a message of the packages below with its commands as they work here.
func (n names) text(message string) string {
	return plainCommand.ReplaceAllStringFunc(message, func(found string) string {
		parts := plainCommand.FindStringSubmatch(found)
		return parts[1] + n.command(parts[2], strings.Fields(parts[3])...)
	})
}

func (n names) texts(messages []string) []string {
	out := slices.Clone(messages)
	for i := range out {
		out[i] = n.text(out[i])
	}
	return out
}

// again is a command line that repeats what was typed, but for passwords in addresses.
func again(words ...string) string {
	if front := frontEnd(); front != "" {
		return front
	}
	out := []string{calledAs()}
	if line := os.Getenv(calledVariable); line != "" && len(words) > 0 && words[0] == "install" {
		out, words = []string{line}, words[1:]
	}
	for _, w := range words {
		out = append(out, shellWord(login.ReplaceAllString(w, "://...@")))
	}
	return strings.Join(out, " ")
}
