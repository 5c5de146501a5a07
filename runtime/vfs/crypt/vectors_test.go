package crypt

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ss-setup/runtime/vfs"
)

var write = flag.Bool("write-vectors", false, "make testdata/vectors.json anew; what is there must be readable for ever")

// vectors are keys and files as the first release wrote them.
type vectors struct {
	Master     string          `json:"master"`
	MasterID   string          `json:"master_id"`
	Passphrase string          `json:"passphrase"`
	KeyID      string          `json:"key_id"`
	Key        string          `json:"key"`
	ByMaster   json.RawMessage `json:"by_master"`
	ByPhrase   json.RawMessage `json:"by_passphrase"`
	Files      []vector        `json:"files"`
}

type vector struct {
	Name   string `json:"name"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"` // of the content
	File   []byte `json:"file"`
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "vectors.json"))
	must(t, err)
	var v vectors
	must(t, json.Unmarshal(raw, &v))
	return v
}

// sealedFile is a file with this content as a volume writes it.
func sealedFile(t testing.TB, key Key, content []byte) []byte {
	t.Helper()
	d := newMemDisk(rand.New(rand.NewPCG(1, 1)))
	v, err := newVolume(d, quiet, key)
	must(t, err)
	f, err := openMem(v, d, memPath(t, "/f"), vfs.Write|vfs.Create)
	must(t, err)
	_, err = f.WriteAt(content, 0)
	must(t, errors.Join(err, f.Close()))
	return d.names[memPath(t, "/f")].data
}

// readSealed reads such a file.
func readSealed(t testing.TB, key Key, raw []byte) ([]byte, error) {
	t.Helper()
	d := newMemDisk(rand.New(rand.NewPCG(1, 1)))
	d.names[memPath(t, "/f")] = &memFile{data: bytes.Clone(raw)}
	v, err := newVolume(d, quiet, key)
	must(t, err)
	f, err := openMem(v, d, memPath(t, "/f"), vfs.Read)
	if err != nil {
		return nil, err
	}
	content, err := readAll(f)
	return content, errors.Join(err, f.Close())
}

func TestFilesAndKeysOfTheFirstReleaseAreRead(t *testing.T) {
	if *write {
		writeVectors(t)
	}
	v := readVectors(t)
	secret, err := hex.DecodeString(v.Key)
	must(t, err)
	key := mustKey(v.KeyID, secret)
	masterSecret, err := hex.DecodeString(v.Master)
	must(t, err)
	byMaster, err := ParseWrapped(v.ByMaster)
	must(t, err)
	if got, err := byMaster.UnwrapByMaster(mustKey(v.MasterID, masterSecret)); err != nil || got != key {
		t.Errorf("unwrapped by the master key: %v, %v", got, err)
	}
	byPhrase, err := ParseWrapped(v.ByPhrase)
	must(t, err)
	if got, err := byPhrase.UnwrapByPassphrase(v.Passphrase); err != nil || got != key {
		t.Errorf("unwrapped by the passphrase: %v, %v", got, err)
	}
	for _, file := range v.Files {
		content, err := readSealed(t, key, file.File)
		must(t, err)
		if sum := sha256.Sum256(content); len(content) != file.Size || hex.EncodeToString(sum[:]) != file.SHA256 {
			t.Errorf("%s: the content differs", file.Name)
		}
	}
}

func writeVectors(t *testing.T) {
	t.Helper()
	key, err := NewKey()
	must(t, err)
	master, err := NewKey()
	must(t, err)
	out := vectors{
		Master: hex.EncodeToString(master.Secret()), MasterID: master.ID(), Passphrase: "correct horse battery staple",
		KeyID: key.ID(), Key: hex.EncodeToString(key.Secret()),
	}
	byMaster, err := WrapByMaster(key, master)
	must(t, err)
	byPhrase, err := WrapByPassphrase(key, out.Passphrase)
	must(t, err)
	out.ByMaster, err = byMaster.Encode()
	must(t, err)
	out.ByPhrase, err = byPhrase.Encode()
	must(t, err)
	for _, size := range []int{0, 11, segmentSize + 1} {
		content := pattern(size, size)
		sum := sha256.Sum256(content)
		out.Files = append(out.Files, vector{
			Name: fmt.Sprintf("%d bytes", size), Size: size, SHA256: hex.EncodeToString(sum[:]), File: sealedFile(t, key, content),
		})
	}
	raw, err := json.MarshalIndent(out, "", "  ")
	must(t, err)
	must(t, os.WriteFile(filepath.Join("testdata", "vectors.json"), append(raw, '\n'), 0o644))
}

func TestAnIndependentDecoderReadsWhatWeWrite(t *testing.T) {
	dir := t.TempDir()
	key, master := mustKey(strings.Repeat("5a", idSize), bytes.Repeat([]byte{1}, keySize)), testKey
	byMaster, err := WrapByMaster(key, master)
	must(t, err)
	byPhrase, err := WrapByPassphrase(key, "a passphrase of ours")
	must(t, err)
	save := func(name string, raw []byte) string {
		file := filepath.Join(dir, name)
		must(t, os.WriteFile(file, raw, 0o600))
		return file
	}
	decode := func(keyFile, secret string, raw []byte) ([]byte, error) {
		cmd := exec.Command("python3", filepath.Join("testdata", "decode.py"), keyFile, save("file", raw))
		cmd.Stdin = strings.NewReader(secret)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if missing := stderr.String(); strings.HasPrefix(missing, "missing: ") || errors.Is(err, exec.ErrNotFound) {
			t.Skipf("the independent decoder needs python3 and python3-cryptography: %s%v", missing, err)
		}
		return out, err
	}
	encoded, err := byMaster.Encode()
	must(t, err)
	keyFile, secret := save("key", encoded), hex.EncodeToString(master.Secret())
	// The last size has two groups of segments.
	for _, size := range []int{0, 1, segmentSize - 1, segmentSize, segmentSize + 1, 5*segmentSize + 77, (groupSegments + 2) * segmentSize} {
		content := pattern(size, size)
		raw := sealedFile(t, key, content)
		if int64(len(raw)) != diskSize(int64(size)) || plainSize(int64(len(raw))) != int64(size) {
			t.Errorf("%d bytes take %d", size, len(raw))
		}
		got, err := decode(keyFile, secret, raw)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: %v, %d bytes came", size, err, len(got))
		}
		raw[len(raw)-1] ^= 1
		if _, err := decode(keyFile, secret, raw); err == nil {
			t.Errorf("%d bytes: a changed bit was not noticed", size)
		}
	}
	encoded, err = byPhrase.Encode()
	must(t, err)
	got, err := decode(save("key", encoded), "a passphrase of ours", sealedFile(t, key, []byte("hello")))
	if err != nil || string(got) != "hello" {
		t.Errorf("by passphrase: %q, %v", got, err)
	}
}
