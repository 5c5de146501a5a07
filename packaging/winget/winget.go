// Package winget renders the three manifests by which winget knows a release:
// version, installer and the default locale. Where the installer lies is the
// operator's to say; no host is in this repository.
package winget

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"golang.org/x/mod/semver"
)

// The kinds of installers that a manifest can name.
const (
	Zip      = "zip"      // the bundle, with ss-setup.exe in it
	Nullsoft = "nullsoft" // the wizard
)

// Options says which release is described.
type Options struct {
	ID        string // PackageIdentifier, PUBLISHER.PACKAGE
	Version   string
	Publisher string
	Type      string // Zip or Nullsoft
	URL       string // of the installer, https
	SHA256    string // of the installer, hexadecimal
}

//go:embed templates
var templates embed.FS

var (
	goodID  = regexp.MustCompile(`^[^.\s\\/:*?"<>|\x00-\x1f]{1,32}(\.[^.\s\\/:*?"<>|\x00-\x1f]{1,32}){1,7}$`)
	goodSum = regexp.MustCompile(`^[0-9A-Fa-f]{64}$`)
)

func (o *Options) check() error {
	u, err := url.Parse(o.URL)
	switch {
	case !goodID.MatchString(o.ID):
		return fmt.Errorf("--id is %q; it is PUBLISHER.PACKAGE", o.ID)
	case !semver.IsValid("v" + o.Version):
		return fmt.Errorf("--version is %q; it is like 7.0.0", o.Version)
	case len(o.Publisher) < 2:
		return fmt.Errorf("--publisher is %q; winget wants at least two letters", o.Publisher)
	case o.Type != Zip && o.Type != Nullsoft:
		return fmt.Errorf("--type is %q; it is %s or %s", o.Type, Zip, Nullsoft)
	case err != nil || u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("--url is %q; it is the https address of the installer", o.URL)
	case !goodSum.MatchString(o.SHA256):
		return fmt.Errorf("--sha256 is %q; it is 64 hexadecimal digits", o.SHA256)
	}
	o.SHA256 = strings.ToUpper(o.SHA256)
	return nil
}

// Render makes the manifests, keyed by the names of their files.
func Render(o Options) (map[string][]byte, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	t := template.New("").Funcs(template.FuncMap{"quote": quote})
	if _, err := t.ParseFS(templates, "templates/*.yaml"); err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for name, suffix := range map[string]string{"version": "", "installer": ".installer", "locale": ".locale.en-US"} {
		var out bytes.Buffer
		if err := t.ExecuteTemplate(&out, name+".yaml", o); err != nil {
			return nil, err
		}
		files[o.ID+suffix+".yaml"] = out.Bytes()
	}
	return files, nil
}

// quote writes a text as YAML reads it, whatever is in it: JSON is YAML.
func quote(text string) (string, error) {
	out, err := json.Marshal(text)
	return string(out), err
}

// Write renders the manifests into a folder, which is made if missing, and returns
// their names.
func Write(o Options, dir string) ([]string, error) {
	files, err := Render(o)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder for manifests: %w", err)
	}
	var names []string
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, text, 0o644); err != nil {
			return nil, fmt.Errorf("write a manifest: %w", err)
		}
		names = append(names, name)
	}
	return names, nil
}
