// Package packages makes the deb and the rpm of a release. Both own nothing but
// the bundle's folder; their scripts run the ss-setup in it, which does all the
// rest as one transaction. So a package, a one-liner and a person at the keyboard
// end in the same installation.
//
// The packer is nFPM, at the version that scripts/tools.mod names. The same bundle
// and the same time give the same bytes.
package packages

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/archive"
)

// Folder is all that a package owns.
const Folder = "/usr/share/ss-server/bundle"

// Name is the package's.
const Name = "ss-server"

// Formats are the kinds of packages that Build makes.
var Formats = []string{"deb", "rpm"}

//go:embed deb rpm
var scripts embed.FS

// scriptsOf names the scripts of a format by what nFPM calls them.
var scriptsOf = map[string]map[string]string{
	"deb": {"postinstall": "deb/postinst", "preremove": "deb/prerm", "postremove": "deb/postrm"},
	"rpm": {"postinstall": "rpm/post", "preremove": "rpm/preun"},
}

// Options tells Build what to pack.
type Options struct {
	Bundle     string    // folder of a bundle for Linux
	Out        string    // folder to write into; made if missing
	Formats    []string  // of Formats; all when empty
	Maintainer string    // NAME <ADDRESS>
	Time       time.Time // of everything in the packages
	// Packer runs nFPM with more arguments; empty is the one of scripts/tools.mod.
	Packer []string
}

// Build makes the packages and returns their files.
func Build(ctx context.Context, o Options) ([]string, error) {
	b, err := o.open()
	if err != nil {
		return nil, err
	}
	if len(o.Formats) == 0 {
		o.Formats = Formats
	}
	if len(o.Packer) == 0 {
		if o.Packer, err = toolPacker(ctx); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder for packages: %w", err)
	}
	work, err := os.MkdirTemp("", "ss-packages-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	if err := writeScripts(work); err != nil {
		return nil, err
	}
	var made []string
	for _, format := range o.Formats {
		file, err := o.build(ctx, b, format, work)
		if err != nil {
			return nil, fmt.Errorf("make the %s: %w", format, err)
		}
		made = append(made, file)
	}
	return made, nil
}

// open looks at what was asked for before anything is written.
func (o *Options) open() (*bundle.Bundle, error) {
	switch {
	case o.Bundle == "":
		return nil, errors.New("nothing given for --bundle")
	case o.Out == "":
		return nil, errors.New("nothing given for --out")
	case o.Time.IsZero():
		return nil, errors.New("no time for what is in the packages; set SOURCE_DATE_EPOCH")
	}
	for _, format := range o.Formats {
		if scriptsOf[format] == nil {
			return nil, fmt.Errorf("no packages are made as %q; choose of %s", format, strings.Join(Formats, ", "))
		}
	}
	b, err := bundle.Open(o.Bundle)
	if err != nil {
		return nil, err
	}
	if b.Manifest.OS != "linux" {
		return nil, fmt.Errorf("the bundle in %s is for %s; deb and rpm are for linux", o.Bundle, b.Manifest.OS)
	}
	if _, err := o.contents(); err != nil {
		return nil, err
	}
	return b, nil
}

// toolPacker is the nFPM of scripts/tools.mod, whatever folder this is run in.
func toolPacker(ctx context.Context) ([]string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	mod := strings.TrimSpace(string(out))
	if err != nil || filepath.Base(mod) != "go.mod" {
		return nil, errors.New("run this inside the repository: scripts/tools.mod there names the packer")
	}
	return []string{"go", "tool", "-modfile=" + filepath.Join(filepath.Dir(mod), "scripts", "tools.mod"), "nfpm"}, nil
}

func writeScripts(dir string) error {
	return fs.WalkDir(scripts, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(name))
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		text, err := scripts.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(to, text, 0o644)
	})
}

func (o *Options) build(ctx context.Context, b *bundle.Bundle, format, work string) (string, error) {
	config, err := o.config(b, format, work)
	if err != nil {
		return "", err
	}
	file := filepath.Join(work, "nfpm-"+format+".yaml")
	if err := os.WriteFile(file, config, 0o644); err != nil {
		return "", err
	}
	target := filepath.Join(o.Out, FileName(b.Manifest, format))
	args := append(o.Packer[1:len(o.Packer):len(o.Packer)], "package", "--config", file, "--packager", format, "--target", target)
	cmd := exec.CommandContext(ctx, o.Packer[0], args...)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+strconv.FormatInt(o.Time.Unix(), 10))
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(o.Packer, " "), err, strings.TrimSpace(string(text)))
	}
	return target, nil
}

// FileName is the usual name of a package's file.
func FileName(m bundle.Manifest, format string) string {
	version := strings.Replace(m.Version, "-", "~", 1) // what comes before a release sorts before it
	if format == "deb" {
		return fmt.Sprintf("%s_%s_%s.deb", Name, version, m.Arch)
	}
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[m.Arch]
	return fmt.Sprintf("%s-%s-1.%s.rpm", Name, version, arch)
}

// content is one file or folder, as nFPM names the fields.
type content struct {
	Src  string    `json:"src,omitempty"`
	Dst  string    `json:"dst"`
	Type string    `json:"type,omitempty"`
	Info *fileInfo `json:"file_info"`
}

type fileInfo struct {
	Mode  int    `json:"mode"`
	Owner string `json:"owner"`
	Group string `json:"group"`
}

// config is what nFPM reads: JSON is YAML.
func (o *Options) config(b *bundle.Bundle, format, work string) ([]byte, error) {
	contents, err := o.contents()
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for kind, name := range scriptsOf[format] {
		files[kind] = filepath.Join(work, filepath.FromSlash(name))
	}
	m := b.Manifest
	c := map[string]any{
		"name": Name, "version": m.Version, "arch": m.Arch, "platform": "linux",
		"maintainer": o.Maintainer, "license": "Apache-2.0", "section": "net", "priority": "optional",
		"description": "self-hosted secure file transfer server\n" +
			"The package holds a bundle; its scripts run the ss-setup in it, which\n" +
			"installs or updates SS Server as one transaction and puts everything back when\n" +
			"something fails.",
		"contents": contents, "scripts": files, "umask": 0o022,
		// Every dpkg and rpm reads it; what is large in the bundle is packed already.
		"deb": map[string]any{"compression": "gzip"},
		"rpm": map[string]any{"compression": "gzip", "buildhost": "localhost", "summary": "self-hosted secure file transfer server"},
	}
	if format == "rpm" {
		c["release"] = "1"
	}
	return json.Marshal(c)
}

// contents are the files of the bundle in the folder that the package owns.
func (o *Options) contents() ([]content, error) {
	list := []content{dir(path.Dir(Folder)), dir(Folder)}
	err := filepath.WalkDir(o.Bundle, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == o.Bundle {
			return err
		}
		rel, err := filepath.Rel(o.Bundle, file)
		if err != nil {
			return err
		}
		to := path.Join(Folder, filepath.ToSlash(rel))
		switch {
		case d.IsDir():
			list = append(list, dir(to))
			return nil
		case !d.Type().IsRegular():
			return fmt.Errorf("%s in the bundle is no regular file", rel)
		case !archive.Belongs(filepath.ToSlash(rel)):
			return fmt.Errorf("%s is no file of a bundle, perhaps one of a build that was cut; remove it", file)
		}
		src, err := filepath.Abs(file)
		if err != nil {
			return err
		}
		mode := 0o644
		if rel == bundle.SetupName {
			mode = 0o755
		}
		list = append(list, content{Src: src, Dst: to, Info: &fileInfo{Mode: mode, Owner: "root", Group: "root"}})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the bundle: %w", err)
	}
	return list, nil
}

func dir(name string) content {
	return content{Dst: name, Type: "dir", Info: &fileInfo{Mode: 0o755, Owner: "root", Group: "root"}}
}
