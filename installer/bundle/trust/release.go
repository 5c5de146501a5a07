package trust

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/mod/semver"

	"ss-setup/installer/bundle"
)

// Channels that a release can be in. Who follows beta gets stable releases, too.
const (
	Stable = "stable"
	Beta   = "beta"
)

// Target is one file that signed metadata name.
type Target struct {
	Path   string // in the repository, with slashes
	Size   int64
	SHA256 string // lower-case hexadecimal
}

// Release is one release for one operating system and architecture.
type Release struct {
	Version, OS, Arch string
	Channel           string
	Released          time.Time
	Notes             string
	// Digest is the SHA-256 of its manifest.
	Digest                   string
	Manifest, Payload, Setup Target
	// Patches make this release out of others.
	Patches []Patch
}

// Patch is a file that turns a file of one release into that of another.
type Patch struct {
	Target
	PatchInfo
}

// ReleaseInfo is what the signed metadata say of a manifest beyond its digest.
type ReleaseInfo struct {
	Channel  string    `json:"channel"`
	Released time.Time `json:"released"`
	Notes    string    `json:"notes,omitempty"`
}

// PatchInfo is what the signed metadata say of a patch.
type PatchInfo struct {
	// From is the digest of the manifest of the release that it starts from, Of the
	// name of the file that it makes.
	From string `json:"from"`
	Of   string `json:"of"`
	// Archive is the size of the archive in a payload, Level how that is compressed.
	Archive int64 `json:"archive,omitempty"`
	Level   int   `json:"level,omitempty"`
}

// ReleaseDir is the folder of a release among the targets:
// 7.0.1/linux-amd64/1a2b3c4d. The digest in it is that of the manifest, so a second
// build of a version does not take the place of the first.
func ReleaseDir(version, os, arch, digest string) string {
	return path.Join(version, os+"-"+arch, digest[:min(8, len(digest))])
}

// Patch finds the patch that makes a file of this release out of that of another.
func (r Release) Patch(from, of string) (Patch, bool) {
	for _, p := range r.Patches {
		if p.From == from && p.Of == of {
			return p, true
		}
	}
	return Patch{}, false
}

// Folder is the name of the folder that a release is downloaded to.
func (r Release) Folder() string { return r.Version + "-" + r.Digest[:8] }

// SetupName is the name of ss-setup among the targets for an operating system.
func SetupName(os string) string {
	if os == "windows" {
		return bundle.SetupName + ".exe"
	}
	return bundle.SetupName
}

// StoredAs is the path under which a repository stores a target. The digest in front
// of the name keeps files of different snapshots apart.
func (t Target) StoredAs() string {
	return path.Join(path.Dir(t.Path), t.SHA256+"."+path.Base(t.Path))
}

// Is tells whether a target has exactly these bytes.
func (t Target) Is(b bundle.Blob) bool { return t.Size == b.Size && t.SHA256 == b.SHA256 }

var targetPath = regexp.MustCompile(`^([0-9A-Za-z.+-]{1,64})/([a-z0-9]{1,16})-([a-z0-9]{1,16})/([0-9a-f]{8})/(.+)$`)

// releasesOf reads the releases out of targets metadata. What is no part of one is
// passed over: a newer repository may hold kinds of files that nobody here knows.
func releasesOf(targets map[string]*metadata.TargetFiles) []Release {
	byDir := map[string]*Release{}
	for _, name := range sortedKeys(targets) {
		parts := targetPath.FindStringSubmatch(name)
		t, ok := targetOf(name, targets[name])
		if parts == nil || !ok || !semver.IsValid("v"+parts[1]) {
			continue
		}
		dir := strings.TrimSuffix(name, "/"+parts[5])
		r := byDir[dir]
		if r == nil {
			r = &Release{Version: parts[1], OS: parts[2], Arch: parts[3]}
			byDir[dir] = r
		}
		r.take(parts[5], t, targets[name].Custom)
	}
	var out []Release
	for dir, r := range byDir {
		whole := r.Manifest.Path != "" && r.Payload.Path != "" && r.Setup.Path != ""
		if whole && ReleaseDir(r.Version, r.OS, r.Arch, r.Digest) == dir {
			out = append(out, *r)
		}
	}
	slices.SortFunc(out, Compare)
	return out
}

// take notes one file of the release.
func (r *Release) take(name string, t Target, custom *json.RawMessage) {
	switch name {
	case bundle.ManifestName:
		var info ReleaseInfo
		if custom == nil || json.Unmarshal(*custom, &info) != nil {
			return
		}
		r.Manifest, r.Digest = t, t.SHA256
		r.Channel, r.Released, r.Notes = info.Channel, info.Released, info.Notes
	case bundle.PayloadName:
		r.Payload = t
	case SetupName(r.OS):
		r.Setup = t
	default:
		var info PatchInfo
		if strings.HasPrefix(name, "from-") && custom != nil && json.Unmarshal(*custom, &info) == nil {
			r.Patches = append(r.Patches, Patch{Target: t, PatchInfo: info})
		}
	}
}

func targetOf(name string, f *metadata.TargetFiles) (Target, bool) {
	if f == nil {
		return Target{}, false
	}
	sum, ok := f.Hashes["sha256"]
	if !ok || len(sum) != 32 || f.Length <= 0 || f.Length > bundle.MaxFileSize || path.Clean(name) != name {
		return Target{}, false
	}
	return Target{Path: name, Size: f.Length, SHA256: hex.EncodeToString(sum)}, true
}

// Compare orders releases by version, then by when they were released, then by
// digest, so that the order is always the same.
func Compare(a, b Release) int {
	return cmp.Or(
		semver.Compare("v"+a.Version, "v"+b.Version),
		a.Released.Compare(b.Released),
		cmp.Compare(a.Digest, b.Digest),
	)
}

// in tells whether who follows a channel gets this release.
func (r Release) in(channel string) bool {
	return r.Channel == Stable || channel == Beta && r.Channel == Beta
}

// Want says which release is wanted.
type Want struct {
	OS, Arch string
	Version  string // empty: the newest of Channel
	Channel  string // Stable when empty
}

// Find picks the release that is wanted, the newest of those that fit. Its error
// says what there is instead.
func (t *Trusted) Find(w Want) (Release, error) {
	w.Channel = cmp.Or(w.Channel, Stable)
	var fits []Release
	var there []string
	for _, r := range t.Releases {
		if r.OS != w.OS || r.Arch != w.Arch {
			continue
		}
		there = append(there, fmt.Sprintf("%s (%s)", r.Version, r.Channel))
		// A version that is named is got from whatever channel it is in.
		if w.Version == r.Version || w.Version == "" && r.in(w.Channel) {
			fits = append(fits, r)
		}
	}
	if len(fits) > 0 {
		return fits[len(fits)-1], nil
	}
	what := "release in channel " + w.Channel
	if w.Version != "" {
		what = "release " + w.Version
	}
	if len(there) == 0 {
		return Release{}, fmt.Errorf("%w: there is no %s for %s/%s", ErrNoRelease, what, w.OS, w.Arch)
	}
	return Release{}, fmt.Errorf("%w: there is no %s for %s/%s; there are %s", ErrNoRelease, what, w.OS, w.Arch, strings.Join(slices.Compact(there), ", "))
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
