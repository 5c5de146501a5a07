package machine

import (
	"slices"
	"strings"
)

// script is what every boot job's definition has the shell do: run the program,
// a single command of the shell, or else tidy up.
//
// The program is missing with no transaction open after a power cut on either
// side of one: before the program was there as a whole, or when it was being
// taken away. Nothing had been begun, or all had ended, so what is listed is all
// that is left. It is durably gone before the job goes, so that a cut here is
// one more for the next boot.
func (j BootJob) script(run string, d Definition) string {
	var links []string
	for _, l := range d.Enable {
		links = append(links, l.Path)
	}
	tests := []string{"[ ! -e " + shellQuote(TxnDir) + " ]"}
	for _, mount := range j.Mounts {
		// As in /proc/mounts: an unmounted disk looks like one with nothing on it.
		tests = append(tests, "grep -qF "+shellQuote(" "+escapeMount(mount)+" ")+" /proc/mounts")
	}
	var acts []string
	remove := func(files ...string) {
		if len(files) > 0 {
			acts = append(acts, "rm -f "+shellWords(files))
		}
	}
	// A folder that something is in stays, which is no failure of the job.
	removeEmpty := func(dirs []string) {
		if len(dirs) > 0 {
			acts = append(acts, "rmdir "+shellWords(deepestFirst(dirs))+" 2>/dev/null || :")
		}
	}
	remove(j.Files...)
	removeEmpty(j.Folders)
	acts = append(acts, "sync")
	remove(append(links, d.Path)...)
	removeEmpty(j.JobFolders)
	return "if [ -x " + shellQuote(j.Argv[0]) + " ]; then " + run +
		"; elif " + strings.Join(tests, " && ") + "; then " + strings.Join(acts, "; ") + "; fi"
}

func deepestFirst(dirs []string) []string {
	dirs = slices.Clone(dirs)
	slices.Reverse(dirs)
	return dirs
}

// escapeMount writes a mount point as the kernel does in its lists.
func escapeMount(path string) string {
	return strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`).Replace(path)
}

// noteLine is the comment that carries the note.
func (j BootJob) noteLine() string { return noteMark + j.Note }
