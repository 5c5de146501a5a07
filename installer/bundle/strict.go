package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// maxNesting is one more than a manifest has: { files: [ { value.
const maxNesting = 4

// checkValue reads one value from dec, which belongs to the object or list at
// place, and everything in it.
func checkValue(dec *json.Decoder, place string) error {
	return checkNested(dec, place, 0)
}

func checkNested(dec *json.Decoder, place string, depth int) error {
	if depth > maxNesting {
		return fmt.Errorf("%q is nested too deep", place)
	}
	token, err := dec.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('['):
		for dec.More() {
			if err := checkNested(dec, place, depth+1); err != nil {
				return err
			}
		}
		_, err = dec.Token()
		return err
	case json.Delim('{'):
		return checkObject(dec, place, depth)
	}
	return nil
}

func checkObject(dec *json.Decoder, place string, depth int) error {
	known, isObject := fields[place]
	if !isObject {
		return fmt.Errorf("%q is an object where a plain value belongs", place)
	}
	seen := make(map[string]bool, len(known))
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return err
		}
		name, ok := token.(string)
		if !ok {
			return fmt.Errorf("%v is not the name of a field", token)
		}
		if !slices.Contains(known, name) {
			return fmt.Errorf("unknown field %q", strings.TrimPrefix(place+"."+name, "."))
		}
		if seen[name] {
			return fmt.Errorf("field %q is there twice", strings.TrimPrefix(place+"."+name, "."))
		}
		seen[name] = true
		if err := checkNested(dec, name, depth+1); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

func checkFiles(files []File) error {
	if len(files) == 0 {
		return errors.New("no files")
	}
	if len(files) > MaxFiles {
		return fmt.Errorf("%d files, more than %d", len(files), MaxFiles)
	}
	var total int64
	folded := make(map[string]string, len(files))
	for i, f := range files {
		if err := f.check(); err != nil {
			return fmt.Errorf("file %d, %q: %w", i, f.Path, err)
		}
		if total += f.Size; total > MaxUnpackedSize {
			return fmt.Errorf("the files together have more than %d bytes", int64(MaxUnpackedSize))
		}
		// Windows keeps one of two names that differ in case only.
		key := strings.ToLower(f.Path)
		if other, twice := folded[key]; twice {
			return fmt.Errorf("%q and %q are the same file", other, f.Path)
		}
		folded[key] = f.Path
	}
	for _, f := range files {
		for dir := path.Dir(strings.ToLower(f.Path)); dir != "."; dir = path.Dir(dir) {
			if other, isFile := folded[dir]; isFile {
				return fmt.Errorf("%q lies in %q, which is a file", f.Path, other)
			}
		}
	}
	return nil
}

var (
	// Names made of these mean the same on every file system and need no
	// quoting in a shell.
	pathElement = regexp.MustCompile(`^[A-Za-z0-9._+@-]*[A-Za-z0-9_+@-]$`)
	// Windows opens a device under these names, in every folder and with any
	// extension.
	deviceName = regexp.MustCompile(`(?i)^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)`)
	// The installer itself puts these beside the files of a release.
	ownNames = []string{ManifestName, PayloadName}
)

func checkPath(name string) error {
	if len(name) > MaxPathLength {
		return fmt.Errorf("path has %d bytes, more than %d", len(name), MaxPathLength)
	}
	if strings.HasPrefix(name, "/") {
		return errors.New("path is absolute")
	}
	for element := range strings.SplitSeq(name, "/") {
		switch {
		case element == "..":
			return errors.New("path climbs out of the release")
		case element == "" || element == ".":
			return errors.New("path is not in its shortest form")
		case !pathElement.MatchString(element):
			return fmt.Errorf("path element %q has characters that are not letters, digits or ._+@-, or ends in a dot", element)
		case deviceName.MatchString(element):
			return fmt.Errorf("path element %q is a device on Windows", element)
		}
	}
	if slices.Contains(ownNames, strings.ToLower(name)) {
		return errors.New("path belongs to the installer")
	}
	return nil
}
