// Package windows makes the wizard: one program for Windows with a bundle in it, which
// shows windows around the ss-setup of that bundle. NSIS builds it, with the script
// wizard.nsi and pictures that package art draws.
package windows

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/archive"
	"ss-setup/installer/bundle/trust"
	"ss-setup/packaging/windows/art"
)

// Options says what the wizard is made of.
type Options struct {
	// Bundle is the folder of a bundle for Windows, Helper the program ss-wizard.exe,
	// License a file with the text that the user agrees to.
	Bundle, Helper, License string
	// Compressor is that of NSIS: lzma, or zlib, which is fast.
	Compressor string
	// Out is the file to write.
	Out string
}

// HelperName is how the program is called that stands between the windows and ss-setup.
const HelperName = "ss-wizard.exe"

// ErrNoNSIS is found in the error where NSIS is missing.
var ErrNoNSIS = errors.New("makensis is not installed; run: apt-get install nsis")

//go:embed wizard.nsi
var script []byte

// Name is the file name of the wizard of a version.
func Name(version string) string { return "ss-server-" + version + "-windows-amd64-setup.exe" }

// Tool finds the program that builds the wizard.
func Tool() (string, error) {
	tool, err := exec.LookPath("makensis")
	if err != nil {
		return "", ErrNoNSIS
	}
	return tool, nil
}

// Build writes the wizard, whole or not at all. The same input gives the same bytes.
func Build(ctx context.Context, o Options) error {
	tool, err := Tool()
	if err != nil {
		return err
	}
	b, err := bundle.Open(o.Bundle)
	if err != nil {
		return err
	}
	if m := b.Manifest; m.OS != "windows" || m.Arch != "amd64" {
		return fmt.Errorf("the bundle in %s is for %s/%s; the wizard is for windows/amd64", o.Bundle, m.OS, m.Arch)
	}
	if _, err := os.Stat(filepath.Join(o.Bundle, trust.MetadataDir)); err != nil {
		return fmt.Errorf("the bundle in %s is not signed, so no wizard with it could install anything", o.Bundle)
	}
	if err := checkFiles(o.Bundle); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "ss-wizard-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	defines, err := prepare(work, o, b.Manifest.Version)
	if err != nil {
		return err
	}
	made := filepath.Join(work, Name(b.Manifest.Version))
	args := []string{"-V2", "-WX", "-NOCD", "-INPUTCHARSET", "UTF8", "-DOUT=" + made}
	for _, d := range defines {
		args = append(args, "-D"+d[0]+"="+d[1])
	}
	out, err := exec.CommandContext(ctx, tool, append(args, filepath.Join(work, "wizard.nsi"))...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("makensis: %w: %s", err, bytes.TrimSpace(out))
	}
	return place(made, o.Out)
}

// checkFiles refuses a bundle with a file that is not of it: all of its metadata go into
// the wizard.
func checkFiles(dir string) error {
	return filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, file)
		if err == nil && !archive.Belongs(filepath.ToSlash(rel)) {
			err = fmt.Errorf("%s is no file of a bundle, perhaps one of a build that was cut; remove it", file)
		}
		return err
	})
}

// prepare puts what NSIS reads into a folder and returns what the script is told.
func prepare(work string, o Options, version string) ([][2]string, error) {
	license, err := os.ReadFile(o.License)
	if err != nil {
		return nil, fmt.Errorf("read the license text: %w", err)
	}
	space, err := mebibytes(o.Bundle, o.Helper)
	if err != nil {
		return nil, err
	}
	text := filepath.Join(work, "license.txt")
	err = errors.Join(
		os.WriteFile(filepath.Join(work, "wizard.nsi"), script, 0o600),
		os.WriteFile(text, windowsText(license), 0o600),
		create(filepath.Join(work, "wizard.ico"), art.WriteIcon),
		create(filepath.Join(work, "header.bmp"), func(w io.Writer) error { return art.WriteBitmap(w, art.Header()) }),
		create(filepath.Join(work, "side.bmp"), func(w io.Writer) error { return art.WriteBitmap(w, art.Side()) }),
	)
	if err != nil {
		return nil, err
	}
	paths := map[string]string{"BUNDLE": o.Bundle, "HELPER": o.Helper}
	for name, path := range paths {
		if paths[name], err = filepath.Abs(path); err != nil {
			return nil, err
		}
	}
	return [][2]string{
		{"VERSION", version},
		{"FILEVERSION", fileVersion(version)},
		{"ART", work},
		{"LICENSETEXT", text},
		{"COMPRESSOR", o.Compressor},
		{"BUNDLE", paths["BUNDLE"]},
		{"HELPER", paths["HELPER"]},
		{"SPACE", fmt.Sprint(space)},
	}, nil
}

// numbers are those that a version begins with.
var numbers = regexp.MustCompile(`^\d+\.\d+\.\d+`)

// fileVersion is a version as Windows writes that of a file: four numbers.
func fileVersion(version string) string { return numbers.FindString(version) + ".0" }

// windowsText is a text with the ends of lines of Windows, and marked as UTF-8.
func windowsText(text []byte) []byte {
	text = bytes.ReplaceAll(text, []byte("\r"), nil)
	return append([]byte("\xef\xbb\xbf"), bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))...)
}

// mebibytes is how much room folders and files take, with some to spare.
func mebibytes(paths ...string) (int64, error) {
	const spare = 4
	var sum int64
	for _, path := range paths {
		err := filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err == nil {
				sum += info.Size()
			}
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("measure what the wizard holds: %w", err)
		}
	}
	return sum>>20 + spare, nil
}

func create(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// place copies a file to where it belongs, under its name only when it is whole.
func place(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	part := to + ".part"
	defer os.Remove(part)
	err = create(part, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", strings.TrimSuffix(part, ".part"), err)
	}
	return errors.Join(os.Chmod(part, 0o755), os.Rename(part, to))
}
