package release

import (
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// SBOM writes what programs are made of, as CycloneDX: the programs with their
// digests, the Go modules in them, and the toolchain. It is read from the programs
// themselves, so it cannot tell of others.
func SBOM(w io.Writer, version string, when time.Time, programs []string) error {
	modules := map[string]cdx.Component{}
	var components []cdx.Component
	var dependencies []cdx.Dependency
	for _, file := range programs {
		info, err := buildinfo.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read what %s is made of: %w", file, err)
		}
		sum, err := FileSum(file)
		if err != nil {
			return err
		}
		name := filepath.Base(file)
		var uses []string
		toolchain := goModule("stdlib", strings.TrimPrefix(info.GoVersion, "go"))
		modules[toolchain.BOMRef] = toolchain
		uses = append(uses, toolchain.BOMRef)
		for _, d := range info.Deps {
			if d.Replace != nil {
				d = d.Replace
			}
			m := goModule(d.Path, d.Version)
			modules[m.BOMRef] = m
			uses = append(uses, m.BOMRef)
		}
		ref := "program:" + name
		components = append(components, cdx.Component{
			BOMRef: ref, Type: cdx.ComponentTypeApplication, Name: name, Version: version,
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum}},
		})
		slices.Sort(uses)
		dependencies = append(dependencies, cdx.Dependency{Ref: ref, Dependencies: &uses})
	}
	for _, m := range modules {
		components = append(components, m)
	}
	slices.SortFunc(components, func(a, b cdx.Component) int { return cmp.Compare(a.BOMRef, b.BOMRef) })
	slices.SortFunc(dependencies, func(a, b cdx.Dependency) int { return cmp.Compare(a.Ref, b.Ref) })

	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{
		Timestamp: when.UTC().Format(time.RFC3339),
		Component: &cdx.Component{BOMRef: "ss-server", Type: cdx.ComponentTypeApplication, Name: "ss-server", Version: version},
	}
	bom.Components, bom.Dependencies = &components, &dependencies
	return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
}

func goModule(path, version string) cdx.Component {
	purl := "pkg:golang/" + strings.ReplaceAll(url.PathEscape(path), "%2F", "/") + "@" + version
	return cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: purl}
}

// FileSum is the SHA-256 of a file in hexadecimal.
func FileSum(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
