package trust

import (
	"encoding/json"
	"path"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"ss-setup/installer/bundle"
)

// FuzzReleases reads targets as if they were signed: names and what is said of them
// still lead nowhere but into the folder of their release.
func FuzzReleases(f *testing.F) {
	digest := strings.Repeat("ab", 32)
	f.Add("7.0.0", "linux", "amd64", "from-0123456789abcdef/ss-setup.patch", int64(7), `{"from":"x","of":"ss-setup","archive":9,"level":3}`)
	f.Add("7.0.0-beta.1+2", "windows", "arm64", "../../x", int64(-1), `{"channel":"beta","released":"2026-11-22T00:00:00Z"}`)
	f.Add("..", "..", "..", "from-/../../etc/passwd", int64(1)<<62, `null`)
	f.Fuzz(func(t *testing.T, version, os, arch, name string, size int64, custom string) {
		sum := make(metadata.HexBytes, 32)
		for i := range sum {
			sum[i] = 0xab
		}
		targets := map[string]*metadata.TargetFiles{}
		add := func(name string, size int64) {
			raw := json.RawMessage(custom)
			file := &metadata.TargetFiles{Length: size, Hashes: metadata.Hashes{"sha256": sum}, Custom: &raw}
			targets[version+"/"+os+"-"+arch+"/"+digest[:8]+"/"+name] = file
		}
		add(bundle.ManifestName, 1)
		add(bundle.PayloadName, 1)
		add(SetupName(os), 1)
		add(name, size)
		for _, r := range releasesOf(targets) {
			all := []Target{r.Manifest, r.Payload, r.Setup}
			for _, p := range r.Patches {
				all = append(all, p.Target)
			}
			for _, target := range all {
				stored := target.StoredAs()
				if path.Clean(stored) != stored || !strings.HasPrefix(stored, ReleaseDir(r.Version, r.OS, r.Arch, r.Digest)+"/") || target.Size <= 0 {
					t.Errorf("%+v is stored as %s", target, stored)
				}
			}
			if strings.ContainsAny(r.Folder(), `/\\`) {
				t.Errorf("its folder is %q", r.Folder())
			}
		}
	})
}
