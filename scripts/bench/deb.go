//go:build linux

package main

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"

	"ss-setup/installer/bundle"
	"ss-setup/runtime/config"
)

//go:embed deb
var debTemplates embed.FS

// debRelease is where the package keeps what a bundle unpacks; deb/postinst knows it.
const debRelease = "/usr/lib/ss-server"

// The ports that the product has unless told otherwise; deb/postinst knows the first.
const (
	webPort     = 6443
	licensePort = 2380
)

// buildDeb makes a Debian package of the files of a bundle: the release, its
// ss-setup, the configuration and the units, compressed at the same level.
func buildDeb(b *bench, from, level string) string {
	opened, err := bundle.Open(from)
	b.must(err)
	top := b.tempDir()
	root := filepath.Join(top, "root")
	release := filepath.Join(root, debRelease)
	b.must(os.MkdirAll(release, 0o755))
	b.must(unpack(from, release))
	b.copyFile(filepath.Join(from, bundle.ManifestName), filepath.Join(release, bundle.ManifestName), 0o644)
	b.copyFile(opened.SetupPath(), filepath.Join(root, "usr/bin/ss-setup"), 0o755)
	for _, program := range []string{"ss-server", "lmu"} {
		b.must(os.Symlink(filepath.Join(debRelease, "bin", program), filepath.Join(root, "usr/bin", program)))
	}
	b.writeFile(filepath.Join(root, "etc/ss-server/server.toml"), config.RenderServer(webPort), 0o644)
	b.writeFile(filepath.Join(root, "etc/ss-server/licensed.toml"), config.RenderLicensed(licensePort), 0o644)
	for _, unit := range []string{"ss-server", "ss-licensed"} {
		b.writeFile(filepath.Join(root, "lib/systemd/system", unit+".service"), renderUnit(b, release, unit), 0o644)
	}
	b.control(root, opened.Manifest)

	deb := filepath.Join(top, "ss-server_"+opened.Manifest.Version+".deb")
	out, err := exec.Command("dpkg-deb", "--root-owner-group", "-Zzstd", "-z"+level, "--build", root, deb).CombinedOutput()
	if err != nil {
		b.Fatalf("dpkg-deb --build: %w\n%s", err, out)
	}
	return deb
}

// renderUnit fills a unit of the release in as ss-setup does.
func renderUnit(b *bench, release, service string) []byte {
	t, err := template.ParseFiles(filepath.Join(release, "services/systemd", service+".service"))
	b.must(err)
	var text bytes.Buffer
	b.must(t.Execute(&text, map[string]string{"User": service, "Mounts": "/opt/ss-server /var/lib/" + service}))
	return text.Bytes()
}

// control writes what dpkg itself reads of the package.
func (b *bench) control(root string, m bundle.Manifest) {
	data := map[string]string{"Version": m.Version, "Arch": m.Arch}
	for _, name := range []string{"control", "conffiles", "postinst", "prerm"} {
		t, err := template.ParseFS(debTemplates, "deb/"+name)
		b.must(err)
		var text bytes.Buffer
		b.must(t.Execute(&text, data))
		mode := fs.FileMode(0o755)
		if strings.HasPrefix(name, "con") {
			mode = 0o644
		}
		b.writeFile(filepath.Join(root, "DEBIAN", name), text.Bytes(), mode)
	}
}

func (b *bench) writeFile(file string, text []byte, mode fs.FileMode) {
	b.must(os.MkdirAll(filepath.Dir(file), 0o755))
	b.must(os.WriteFile(file, text, mode))
}

func (b *bench) copyFile(from, to string, mode fs.FileMode) {
	text, err := os.ReadFile(from)
	b.must(err)
	b.writeFile(to, text, mode)
}

// warm reads files, so that their first reader does not pay for the disk.
func (b *bench) warm(dir string) {
	b.must(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if _, err := os.ReadFile(path); err != nil {
			return fmt.Errorf("warm the cache: %w", err)
		}
		return nil
	}))
}
