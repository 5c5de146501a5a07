package trust

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"ss-setup/installer/bundle"
)

// ErrNoRelease is found in the error of Find.
var ErrNoRelease = errors.New("no such release")

// Options say what metadata are held to.
type Options struct {
	Anchor Anchor
	// Seen are the newest metadata that this machine knows of; nil when there are none.
	Seen *Seen
	// Now is the time that expiry is judged by.
	Now time.Time
	// Offline: the metadata came with a package, on a medium that nobody can refresh.
	// Expiry is then told in Stale, not refused.
	Offline bool
}

// Trusted is what verified metadata say.
type Trusted struct {
	// Releases are all releases that the metadata list, oldest first.
	Releases []Release
	// Stale names the metadata that have expired; only with Options.Offline.
	Stale []string
	// Older: the source was older than what the machine has seen, and the latter
	// decided.
	Older bool

	seen Seen
}

// Seen is what the machine should remember from now on.
func (t *Trusted) Seen() *Seen { return &t.seen }

// Open verifies the metadata of a source. Its errors are Refusals, or whatever the
// source failed with.
func Open(ctx context.Context, src Source, o Options) (*Trusted, error) {
	if o.Anchor.root == nil {
		return nil, Refuse(NoRoot, "there is no root of trust to start from")
	}
	v := &verification{src: src, o: o, seen: o.Seen}
	if v.seen == nil {
		v.seen = &Seen{}
	}
	for _, stage := range []func(context.Context) error{v.roots, v.timestamp, v.snapshot, v.targets} {
		if err := stage(ctx); err != nil {
			return nil, err
		}
	}
	return v.result(), nil
}

// verification is one walk through the workflow of a TUF client.
type verification struct {
	src   Source
	o     Options
	seen  *Seen
	set   *trustedmetadata.TrustedMetadata
	older bool

	out Seen
}

// roots walks the chain of roots, first the part that was seen before.
func (v *verification) roots(ctx context.Context) error {
	var err error
	if v.set, err = trustedmetadata.New(v.o.Anchor.raw); err != nil {
		return refused(metadata.ROOT, WrongSigner, err)
	}
	v.set.RefTime = v.o.Now.UTC()
	if v.o.Offline {
		// Nothing has expired at the beginning of time: stale tells later what has.
		v.set.RefTime = time.Time{}
	}
	v.out.Roots = [][]byte{v.o.Anchor.raw}
	for _, raw := range v.seen.Roots {
		r, err := metadata.Root().FromBytes(raw)
		if err != nil || r.Signed.Version != v.set.Root.Signed.Version+1 {
			continue
		}
		if _, err := v.set.UpdateRoot(raw); err != nil {
			break // of another vendor's chain: nothing seen there counts here
		}
		v.out.Roots = append(v.out.Roots, raw)
	}
	for range maxRoots {
		name := fmt.Sprintf("%d.root.json", v.set.Root.Signed.Version+1)
		raw, err := v.src.Metadata(ctx, name, maxRoot)
		if errors.Is(err, ErrNoMetadata) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := v.set.UpdateRoot(raw); err != nil {
			return refused(metadata.ROOT, Rollback, err)
		}
		v.out.Roots = append(v.out.Roots, raw)
	}
	return Refuse(Oversized, "the chain of roots goes on after %d", maxRoots)
}

func (v *verification) timestamp(ctx context.Context) error {
	raw, err := v.src.Metadata(ctx, "timestamp.json", maxTimestamp)
	switch {
	case errors.Is(err, ErrNoMetadata) && v.o.Offline:
		return Refuse(Unsigned, "it has no signed metadata: %w", err)
	case errors.Is(err, ErrNoMetadata):
		// Nothing was forged: a wrong address, most of the time.
		return fmt.Errorf("there is no repository of releases: %w", err)
	case err != nil:
		return err
	}
	if err := namesSnapshot(raw); err != nil {
		return err
	}
	v.recallTimestamp()
	_, err = v.set.UpdateTimestamp(raw)
	var (
		same *metadata.ErrEqualVersionNumber
		old  *metadata.ErrBadVersionNumber
	)
	switch {
	case errors.As(err, &same):
		// Not the bytes but the version: keep the one that was seen, as TUF says.
		return v.fresh()
	case errors.As(err, &old) && v.o.Offline:
		v.older = true
		return nil
	case errors.As(err, &old):
		return v.behind(raw)
	case err != nil:
		role := metadata.TIMESTAMP
		if v.set.Root.Signed.IsExpired(v.set.RefTime) {
			role = metadata.ROOT
		}
		return refused(role, Rollback, err)
	}
	v.out.Timestamp = raw
	return nil
}

// behind refuses a timestamp that is older than the one that was seen, or that names
// an older snapshot.
func (v *verification) behind(raw []byte) error {
	seen := v.set.Timestamp.Signed
	offered, err := metadata.Timestamp().FromBytes(raw)
	if err != nil {
		return refused(metadata.TIMESTAMP, Rollback, err)
	}
	what, has, had := "timestamp", offered.Signed.Version, seen.Version
	if has >= had {
		what, has, had = "snapshot", offered.Signed.Meta["snapshot.json"].Version, seen.Meta["snapshot.json"].Version
	}
	return Refuse(Rollback, "what it offers is behind what this machine has seen: %s %d is offered, %d was seen", what, has, had)
}

// recallTimestamp loads the timestamp that was seen before. One that the root in
// force does not accept is forgotten: its key was replaced.
func (v *verification) recallTimestamp() {
	if namesSnapshot(v.seen.Timestamp) != nil {
		return
	}
	_, err := v.set.UpdateTimestamp(v.seen.Timestamp)
	if _, expired := errors.AsType[*metadata.ErrExpiredMetadata](err); err == nil || expired && v.set.Timestamp != nil {
		v.out.Timestamp = v.seen.Timestamp
	}
}

// fresh refuses a timestamp that is still the newest, and has expired.
func (v *verification) fresh() error {
	if v.set.Timestamp.Signed.IsExpired(v.set.RefTime) {
		return refused(metadata.TIMESTAMP, Rollback, &metadata.ErrExpiredMetadata{Msg: "timestamp.json is expired"})
	}
	return nil
}

// namesSnapshot holds a timestamp to what the library takes for granted.
func namesSnapshot(raw []byte) error {
	t, err := metadata.Timestamp().FromBytes(raw)
	if err != nil {
		return Refuse(Truncated, "the timestamp metadata cannot be read: %w", err)
	}
	if t.Signed.Meta["snapshot.json"] == nil {
		return Refuse(MixAndMatch, "the timestamp metadata name no snapshot")
	}
	return nil
}

func (v *verification) snapshot(ctx context.Context) error {
	// An old snapshot that was seen before guards against a new one that goes back.
	if len(v.seen.Snapshot) > 0 && len(v.out.Timestamp) > 0 {
		_, err := v.set.UpdateSnapshot(v.seen.Snapshot, true)
		if err == nil && v.set.Snapshot.Signed.Version == v.set.Timestamp.Signed.Meta["snapshot.json"].Version {
			v.out.Snapshot = v.seen.Snapshot
			return nil
		}
	}
	version := v.set.Timestamp.Signed.Meta["snapshot.json"].Version
	raw, err := v.src.Metadata(ctx, fmt.Sprintf("%d.snapshot.json", version), maxSnapshot)
	if errors.Is(err, ErrNoMetadata) {
		return Refuse(MixAndMatch, "the timestamp names snapshot %d, which is not there", version)
	}
	if err != nil {
		return err
	}
	if _, err := v.set.UpdateSnapshot(raw, false); err != nil {
		check := MixAndMatch
		if v.set.Snapshot != nil && len(v.seen.Snapshot) > 0 && !sameSnapshot(v.set, raw) {
			check = Rollback
		}
		return refused(metadata.SNAPSHOT, check, err)
	}
	v.out.Snapshot = raw
	return nil
}

// sameSnapshot tells whether raw is the snapshot that was loaded: then its version is
// wrong, and not what it says of the targets.
func sameSnapshot(set *trustedmetadata.TrustedMetadata, raw []byte) bool {
	s, err := metadata.Snapshot().FromBytes(raw)
	return err == nil && set.Snapshot.Signed.Version == s.Signed.Version
}

func (v *verification) targets(ctx context.Context) error {
	meta := v.set.Snapshot.Signed.Meta["targets.json"]
	if meta == nil {
		return Refuse(MixAndMatch, "the snapshot names no targets")
	}
	if len(v.seen.Targets) > 0 {
		if _, err := v.set.UpdateTargets(v.seen.Targets); err == nil {
			v.out.Targets = v.seen.Targets
			return nil
		}
	}
	raw, err := v.src.Metadata(ctx, fmt.Sprintf("%d.targets.json", meta.Version), maxTargets)
	if errors.Is(err, ErrNoMetadata) {
		return Refuse(MixAndMatch, "the snapshot names targets %d, which are not there", meta.Version)
	}
	if err != nil {
		return err
	}
	if _, err := v.set.UpdateTargets(raw); err != nil {
		return refused(metadata.TARGETS, MixAndMatch, err)
	}
	v.out.Targets = raw
	return nil
}

func (v *verification) result() *Trusted {
	t := &Trusted{
		Releases: releasesOf(v.set.Targets[metadata.TARGETS].Signed.Targets),
		Older:    v.older, seen: v.out,
	}
	if !v.o.Offline {
		return t
	}
	for _, role := range []struct {
		name    string
		expires time.Time
	}{
		{metadata.ROOT, v.set.Root.Signed.Expires},
		{metadata.TIMESTAMP, v.set.Timestamp.Signed.Expires},
		{metadata.SNAPSHOT, v.set.Snapshot.Signed.Expires},
		{metadata.TARGETS, v.set.Targets[metadata.TARGETS].Signed.Expires},
	} {
		if v.o.Now.After(role.expires) {
			t.Stale = append(t.Stale, fmt.Sprintf("%s (%s)", role.name, role.expires.Format(time.DateOnly)))
		}
	}
	return t
}

// Verify implements bundle.Verifier: it accepts a manifest that the metadata list,
// whose payload and ss-setup are those that they list with it.
func (t *Trusted) Verify(manifest []byte) error {
	_, err := t.Release(manifest)
	return err
}

// Release finds the release that a manifest belongs to.
func (t *Trusted) Release(manifest []byte) (Release, error) {
	digest := bundle.Digest(manifest)
	for _, r := range t.Releases {
		if r.Digest != digest {
			continue
		}
		m, err := bundle.Parse(manifest)
		if err != nil {
			return Release{}, err
		}
		if m.Version != r.Version || m.OS != r.OS || m.Arch != r.Arch || !r.Payload.Is(m.Payload) || !r.Setup.Is(m.Setup) {
			return Release{}, Refuse(MixAndMatch, "the manifest of release %s and the signed metadata contradict each other", m.Release(digest))
		}
		return r, nil
	}
	if t.Older {
		return Release{}, &Refusal{
			Check: Rollback, Cure: cureGone,
			Err: errors.New("it is older than what this machine has seen, and its release has been withdrawn since"),
		}
	}
	return Release{}, Refuse(Swapped, "the manifest with the SHA-256 %s is not among the releases that were signed", digest)
}

// Is tells whether two Seens are the same, so that nothing need be written.
func (s *Seen) Is(other *Seen) bool {
	if other == nil || len(s.Roots) != len(other.Roots) {
		return false
	}
	for i := range s.Roots {
		if !bytes.Equal(s.Roots[i], other.Roots[i]) {
			return false
		}
	}
	return bytes.Equal(s.Timestamp, other.Timestamp) && bytes.Equal(s.Snapshot, other.Snapshot) && bytes.Equal(s.Targets, other.Targets)
}
