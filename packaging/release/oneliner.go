package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"
)

// ScriptOptions tells Scripts what to render.
type ScriptOptions struct {
	Version   string   // as in the archives' names
	Templates string   // folder with the templates: scripts/install
	Dist      string   // folder with the archives
	Bases     []string // URLs of folders that will hold the archives: the operator's, then mirrors
	Targets   []string // as linux/amd64; all when empty
	Out       string   // folder to write the scripts into; made if missing
}

// script is one one-liner and what its template needs of it.
type script struct {
	Name, Target, template     string
	Machine, OtherMachine      string // processors, for people
	Names, OtherNames          string // processors as uname names them, a pattern of case
	Tool, OtherTool            string // that downloads
	otherMachine, otherToolOne string // the scripts for those
	get, pipe                  string // commands that download the script itself
}

// scripts are all of them: their names are what the product's guides tell.
var scripts = []script{
	linuxScript("x64", "c"), linuxScript("x64", "w"),
	linuxScript("arm", "c"), linuxScript("arm", "w"),
	{Name: "ss-setup-win-x64.ps1", Target: "windows/amd64", template: "ss-setup-win-x64.ps1.tmpl"},
}

// ScriptTargets are the targets that there are one-liners for.
func ScriptTargets() []string {
	var out []string
	for _, s := range scripts {
		if !slices.Contains(out, s.Target) {
			out = append(out, s.Target)
		}
	}
	return out
}

func linuxScript(arch, tool string) script {
	name := func(arch, tool string) string { return "ss-setup-linux-" + arch + tool + ".sh" }
	s := script{Name: name(arch, tool), template: "ss-setup-linux.sh.tmpl"}
	const x64, arm = "x86-64", "64-bit ARM"
	const x64Names, armNames = "x86_64 | amd64", "aarch64 | arm64"
	switch arch {
	case "x64":
		s.Target, s.otherMachine = "linux/amd64", name("arm", tool)
		s.Machine, s.Names, s.OtherMachine, s.OtherNames = x64, x64Names, arm, armNames
	case "arm":
		s.Target, s.otherMachine = "linux/arm64", name("x64", tool)
		s.Machine, s.Names, s.OtherMachine, s.OtherNames = arm, armNames, x64, x64Names
	}
	switch tool {
	case "c":
		s.Tool, s.OtherTool, s.otherToolOne = "curl", "wget", name(arch, "w")
		s.get, s.pipe = "curl -fsS -o setup.sh ", "curl -fsS "
	case "w":
		s.Tool, s.OtherTool, s.otherToolOne = "wget", "curl", name(arch, "c")
		s.get, s.pipe = "wget -nv -O setup.sh ", "wget -qO- "
	}
	return s
}

// ArchiveName is the name of the file that holds the bundle of one target, such as linux/amd64.
func ArchiveName(version, target string) string {
	suffix := ".tar.gz"
	if strings.HasPrefix(target, "windows/") {
		suffix = ".zip"
	}
	return "ss-server-" + version + "-" + strings.ReplaceAll(target, "/", "-") + suffix
}

// Scripts renders the one-liner scripts of a release, each naming the SHA-256 of its
// archive, and returns their names. The same archives and options give the same bytes.
func Scripts(o ScriptOptions) ([]string, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	templates, err := template.New("").Option("missingkey=error").ParseGlob(filepath.Join(o.Templates, "*.tmpl"))
	if err != nil {
		return nil, fmt.Errorf("read the templates: %w", err)
	}
	// All are rendered before any is written: those of one release belong together.
	var names []string
	var rendered []bytes.Buffer
	for _, s := range o.wanted() {
		pins, err := o.pins(s)
		if err != nil {
			return nil, err
		}
		var text bytes.Buffer
		if err := templates.ExecuteTemplate(&text, s.template, pins); err != nil {
			return nil, fmt.Errorf("render %s: %w", s.Name, err)
		}
		names, rendered = append(names, s.Name), append(rendered, text)
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return nil, err
	}
	for i, name := range names {
		if _, _, err := writeFile(filepath.Join(o.Out, name), 0o644, func(w io.Writer) error {
			_, err := w.Write(rendered[i].Bytes())
			return err
		}); err != nil {
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
	}
	return names, nil
}

func (o *ScriptOptions) wanted() []script {
	if len(o.Targets) == 0 {
		return scripts
	}
	var wanted []script
	for _, s := range scripts {
		for _, t := range o.Targets {
			if s.Target == t {
				wanted = append(wanted, s)
			}
		}
	}
	return wanted
}

// pins is what a template is rendered with.
type pins struct {
	script
	Version, Archive, SHA256    string
	Size                        int64 // of the archive, in bytes
	Blocks                      int64 // a limit of the download, in 512 bytes
	RoomKB, RoomMB              int64 // what unpacking may need
	Bases                       []string
	URL, OtherURL, OtherToolURL string
	Get, Pipe                   string
}

func (o *ScriptOptions) pins(s script) (*pins, error) {
	base := strings.TrimRight(o.Bases[0], "/")
	p := &pins{
		script: s, Version: o.Version, Archive: ArchiveName(o.Version, s.Target),
		URL: base + "/" + s.Name, OtherURL: base + "/" + s.otherMachine, OtherToolURL: base + "/" + s.otherToolOne,
	}
	p.Get, p.Pipe = s.get+p.URL, s.pipe+p.URL
	for _, b := range o.Bases {
		p.Bases = append(p.Bases, strings.TrimRight(b, "/"))
	}
	f, err := os.Open(filepath.Join(o.Dist, p.Archive))
	if err != nil {
		return nil, fmt.Errorf("read the package that %s names (--targets leaves out what was not made): %w", s.Name, err)
	}
	defer f.Close()
	h := sha256.New()
	if p.Size, err = io.Copy(h, f); err != nil {
		return nil, fmt.Errorf("read the package that %s names: %w", s.Name, err)
	}
	p.SHA256 = hex.EncodeToString(h.Sum(nil))
	// Programs shrink to about a third, and the payload inside is compressed already.
	p.RoomMB = 4*p.Size>>20 + 8
	p.RoomKB = p.RoomMB << 10
	p.Blocks = p.Size/512 + 2048
	return p, nil
}

// Version and addresses go into scripts that run as root: what a shell could take for
// more than text is refused, not quoted.
var (
	plainVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+([-+.][0-9A-Za-z.+-]*)?$`)
	plainURL     = regexp.MustCompile(`^https?://[0-9A-Za-z._~:/@%+,=\[\]-]+$`)
)

func (o *ScriptOptions) check() error {
	if !plainVersion.MatchString(o.Version) {
		return fmt.Errorf("version %q is not one such as 7.0.0", o.Version)
	}
	if o.Dist == "" || o.Out == "" || o.Templates == "" {
		return errors.New("nothing given for --dist, --out or --templates")
	}
	if len(o.Bases) == 0 {
		return errors.New("nothing given for --base-url: the address of the folder that users will download from")
	}
	for _, b := range o.Bases {
		u, err := url.Parse(b)
		if err != nil || !plainURL.MatchString(b) || u.Host == "" || u.User != nil {
			return fmt.Errorf("address %q is not one such as https://HOST/FOLDER, without a password, query or special characters", b)
		}
	}
	for _, t := range o.Targets {
		if !slices.Contains(ScriptTargets(), t) {
			return fmt.Errorf("there is no script for target %q; there are linux/amd64, linux/arm64 and windows/amd64", t)
		}
	}
	return nil
}
