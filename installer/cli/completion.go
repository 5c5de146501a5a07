package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// shells are the shells for which there is a completion.
var shells = []string{"bash", "zsh", "fish", "powershell"}

// completion is the verb that prints what makes a shell complete ss-setup's
// verbs and flags. It is written from the verbs themselves.
func (p *programme) completion() *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "print the completion for a shell: " + strings.Join(shells, ", "),
		ArgsUsage: strings.Join(shells, "|"),
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 || !slices.Contains(shells, c.Args().First()) {
				right := again("completion", "bash")
				if near := nearest(c.Args().First(), shells); near != "" {
					right = again("completion", near)
				}
				return usagef(right, "completion needs the name of one shell: %s", strings.Join(shells, ", "))
			}
			verbs := completed(c.App)
			switch c.Args().First() {
			case "bash":
				bashCompletion(c.App.Writer, verbs)
			case "zsh":
				zshCompletion(c.App.Writer, verbs)
			case "fish":
				fishCompletion(c.App.Writer, verbs)
			case "powershell":
				powershellCompletion(c.App.Writer, verbs)
			}
			return nil
		},
	}
}

// completedVerb is a verb as a shell completes it.
type completedVerb struct {
	name, usage string
	flags       []completedFlag
	words       []string // arguments
}

type completedFlag struct {
	name, usage string
	// values to choose from; path: the value is a file; value: it takes one.
	values      []string
	path, value bool
}

func completed(app *cli.App) []completedVerb {
	var verbs []completedVerb
	for _, c := range app.VisibleCommands() {
		v := completedVerb{name: c.Name, usage: c.Usage}
		if c.Name == "completion" {
			v.words = shells
		}
		for _, f := range c.VisibleFlags() {
			v.flags = append(v.flags, completedOf(f))
		}
		verbs = append(verbs, v)
	}
	return verbs
}

func completedOf(f cli.Flag) completedFlag {
	c := completedFlag{name: "--" + f.Names()[0]}
	if doc, ok := f.(cli.DocGenerationFlag); ok {
		c.usage = strings.ReplaceAll(doc.GetUsage(), "`", "")
		c.value = doc.TakesValue()
	}
	switch c.name {
	case "--output":
		c.values = []string{"auto", "bar", "plain", "json"}
	case "--from", "--log", "--root":
		c.path = true
	}
	return c
}

func (v completedVerb) flagNames() []string {
	var names []string
	for _, f := range v.flags {
		names = append(names, f.name)
	}
	return names
}

func verbNames(verbs []completedVerb) []string {
	var names []string
	for _, v := range verbs {
		names = append(names, v.name)
	}
	return names
}

func bashCompletion(w io.Writer, verbs []completedVerb) {
	fmt.Fprintf(w, `# bash completion for ss-setup; install with:
#   ss-setup completion bash > /etc/bash_completion.d/ss-setup
_ss_setup() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
	COMPREPLY=()
	case $before in
	--output) COMPREPLY=($(compgen -W "auto bar plain json" -- "$word")); return ;;
	--from | --log) COMPREPLY=($(compgen -f -- "$word")); return ;;
	--root) COMPREPLY=($(compgen -d -- "$word")); return ;;
	esac
	if [ "$COMP_CWORD" -eq 1 ]; then
		COMPREPLY=($(compgen -W "%s --help --version" -- "$word"))
		return
	fi
	case ${COMP_WORDS[1]} in
`, strings.Join(verbNames(verbs), " "))
	for _, v := range verbs {
		words := slices.Concat(v.words, v.flagNames())
		fmt.Fprintf(w, "\t%s) COMPREPLY=($(compgen -W \"%s\" -- \"$word\")) ;;\n", v.name, strings.Join(words, " "))
	}
	fmt.Fprint(w, "\tesac\n}\ncomplete -F _ss_setup ss-setup\n")
}

func zshCompletion(w io.Writer, verbs []completedVerb) {
	fmt.Fprint(w, `#compdef ss-setup
# zsh completion for ss-setup; install with:
#   ss-setup completion zsh > /usr/local/share/zsh/site-functions/_ss-setup
_ss-setup() {
	local -a verbs
	verbs=(
`)
	for _, v := range verbs {
		fmt.Fprintf(w, "\t\t%s\n", singleQuoted(v.name+":"+v.usage))
	}
	fmt.Fprint(w, "\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe verb verbs\n\t\treturn\n\tfi\n\tcase $words[2] in\n")
	for _, v := range verbs {
		fmt.Fprintf(w, "\t%s)\n\t\t_arguments '1:verb:'", v.name)
		for _, f := range v.flags {
			fmt.Fprintf(w, " \\\n\t\t\t%s", singleQuoted(zshFlag(f)))
		}
		if len(v.words) > 0 {
			fmt.Fprintf(w, " \\\n\t\t\t'2:argument:(%s)'", strings.Join(v.words, " "))
		}
		fmt.Fprint(w, "\n\t\t;;\n")
	}
	fmt.Fprint(w, "\tesac\n}\nif [ \"$funcstack[1]\" = _ss-setup ]; then\n\t_ss-setup \"$@\"\nelse\n\tcompdef _ss-setup ss-setup\nfi\n")
}

func zshFlag(f completedFlag) string {
	spec := f.name + "[" + strings.NewReplacer("[", "(", "]", ")").Replace(f.usage) + "]"
	switch {
	case f.path:
		return spec + ":file:_files"
	case len(f.values) > 0:
		return spec + ":value:(" + strings.Join(f.values, " ") + ")"
	case f.value:
		return spec + ":value:"
	}
	return spec
}

// singleQuoted is a word of a POSIX shell, and of fish.
func singleQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func fishCompletion(w io.Writer, verbs []completedVerb) {
	fmt.Fprint(w, "# fish completion for ss-setup; install with:\n"+
		"#   ss-setup completion fish > /etc/fish/completions/ss-setup.fish\n"+
		"complete -c ss-setup -f\n")
	for _, v := range verbs {
		fmt.Fprintf(w, "complete -c ss-setup -n __fish_use_subcommand -a %s -d %s\n", v.name, singleQuoted(v.usage))
		in := singleQuoted("__fish_seen_subcommand_from " + v.name)
		for _, f := range v.flags {
			fmt.Fprintf(w, "complete -c ss-setup -n %s -l %s -d %s%s\n", in, strings.TrimPrefix(f.name, "--"), singleQuoted(f.usage), fishValue(f))
		}
		if len(v.words) > 0 {
			fmt.Fprintf(w, "complete -c ss-setup -n %s -a %s\n", in, singleQuoted(strings.Join(v.words, " ")))
		}
	}
}

func fishValue(f completedFlag) string {
	switch {
	case f.path:
		return " -r -F"
	case len(f.values) > 0:
		return " -x -a " + singleQuoted(strings.Join(f.values, " "))
	case f.value:
		return " -x"
	}
	return ""
}

func powershellCompletion(w io.Writer, verbs []completedVerb) {
	fmt.Fprint(w, `# PowerShell completion for ss-setup; add this to $PROFILE:
#   ss-setup completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName ss-setup, ss-setup.exe -ScriptBlock {
	param($word, $ast, $position)
	$verbs = [ordered]@{
`)
	for _, v := range verbs {
		words := slices.Concat(v.words, v.flagNames())
		fmt.Fprintf(w, "\t\t'%s' = '%s'\n", v.name, strings.Join(words, " "))
	}
	fmt.Fprint(w, `	}
	$given = @($ast.CommandElements | ForEach-Object { $_.ToString() })
	$choices = if ($given.Count -gt 2 -or ($given.Count -eq 2 -and $word -eq '')) { -split $verbs[$given[1]] } else { @($verbs.Keys) }
	$choices | Where-Object { $_ -like "$word*" } | ForEach-Object {
		[System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
	}
}
`)
}
