package vfsdecrypt

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestThePaddingOfLargeFilesIsFoundAtTheirEnds: of a VFS of large files alone, whose
// samples are no whole files.
func TestThePaddingOfLargeFilesIsFoundAtTheirEnds(t *testing.T) {
	line := "a line of a long text, with a number behind it: 0123456789\n"
	text := strings.Repeat(line, 1+2*sampleWhole/len(line))
	prober := Prober{Passphrase: passphrase}
	for pad, content := range map[Padding]string{
		PKCS7: text[:sampleWhole+5],
		Zeros: text[:sampleWhole+5],
		NoPad: text[:sampleWhole+16],
	} {
		for _, mode := range []string{"cbc kdf=sha256", "ecb kdf=sha256"} {
			profile := mustParse(t, "aes-256-"+mode+" pad="+string(pad))
			source, _ := old(t, profile.String(), map[string][]byte{"a.txt": []byte(content), "b.txt": []byte("b" + content[1:]), "c.txt": []byte("c" + content[1:])})
			samples, err := Samples(t.Context(), os.DirFS(source))
			if err != nil {
				t.Fatal(err)
			}
			ranked, err := prober.try(t.Context(), padded(profile), samples)
			if err != nil || len(ranked) == 0 || ranked[0].profile.Pad != pad {
				t.Errorf("%s: %+v, %v", profile, ranked, err)
				continue
			}
			for _, other := range ranked[1:] {
				if other.bits > ranked[0].bits-lead && other.output != ranked[0].output {
					t.Errorf("%s: %s seems as good, and gives something else", profile, other.profile)
				}
			}
		}
	}
}

// TestFilesThatEndedInZerosAreCounted, as a padding with zeros takes away zeros of theirs.
func TestFilesThatEndedInZerosAreCounted(t *testing.T) {
	profile := "aes-256-cbc kdf=sha256 pad=zero"
	source, _ := old(t, profile, map[string][]byte{"a.txt": []byte("16 bytes of text"), "b.txt": []byte("some more text than that")})
	_, total, err := decryptInto(t, filepath.Join(t.TempDir(), "new"), source, keysOf(t, profile))
	if err != nil || total.Zeros != 1 {
		t.Errorf("%+v, %v", total, err)
	}
}

// TestWhatNothingProvesIsNotCalledDecrypted: in a stream every key gives something.
func TestWhatNothingProvesIsNotCalledDecrypted(t *testing.T) {
	const profile = "aes-256-ctr kdf=sha256"
	source, _ := old(t, profile, map[string][]byte{"a.txt": []byte("text that can be read, and more of it"), "b.dat": randomBytes(1000), "empty.dat": nil})
	h, total, err := decryptInto(t, filepath.Join(t.TempDir(), "new"), source, keysOf(t, profile))
	if err != nil || h.of["b.dat"].Status != Unproved || h.of["a.txt"].Status != Decrypted || h.of["empty.dat"].Status != Decrypted || total.Wrong() != 1 {
		t.Errorf("%+v, %+v, %v", h.of, total, err)
	}
	padded := "aes-256-cbc kdf=sha256"
	source, _ = old(t, padded, map[string][]byte{"b.dat": randomBytes(1000)})
	if h, _, err = decryptInto(t, filepath.Join(t.TempDir(), "new"), source, keysOf(t, padded)); err != nil || h.of["b.dat"].Status != Decrypted {
		t.Errorf("an end that fits: %+v, %v", h.of, err)
	}
}

func TestARunGoesOnOnlyWithItsPassphrase(t *testing.T) {
	source, _ := old(t, oldProfile, map[string][]byte{"a.txt": []byte("text")})
	dir := t.TempDir()
	if err := folder(t, dir, source, keysOf(t, oldProfile)).Close(); err != nil {
		t.Fatal(err)
	}
	other, err := NewKeys(mustParse(t, oldProfile), "another passphrase")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFolder(dir, source, other, time.Now); !errors.Is(err, ErrOther) || !strings.Contains(err.Error(), "passphrase") {
		t.Errorf("got %v", err)
	}
	state, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil || bytes.Contains(state, []byte(passphrase)) {
		t.Errorf("the passphrase lies in the target: %s, %v", state, err)
	}
}

// TestNamesThatDifferInCaseAloneDoNotReplaceEachOther, whatever the disk thinks of them.
func TestNamesThatDifferInCaseAloneDoNotReplaceEachOther(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the source cannot be made here")
	}
	source, want := old(t, oldProfile, map[string][]byte{"Readme.txt": []byte("one text of some length"), "readme.txt": []byte("another text of some length")})
	dir := filepath.Join(t.TempDir(), "new")
	_, total, err := decryptInto(t, dir, source, keysOf(t, oldProfile))
	if err != nil {
		t.Fatal(err)
	}
	if got := contents(t, dir); int64(len(got)) != total.Of[Decrypted] || total.Of[Decrypted] == 2 && got["readme.txt"] != want["readme.txt"] {
		t.Errorf("%d files, %+v", len(got), total)
	}
}
