package vfsdecrypt

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// archive is what a company keeps, small.
func archive(t testing.TB) map[string][]byte {
	t.Helper()
	files := map[string][]byte{
		"orders/2013.csv":   []byte("number;customer;amount\r\n" + strings.Repeat("4711;Müller & Söhne;12,50\r\n", 40)),
		"orders/readme.txt": []byte("These are the orders of the year 2013, as they came in by SFTP.\n"),
		"edi/invoic.edi":    []byte("UNA:+.? 'UNB+UNOC:3+4012345000009:14+4098765000003:14+130102:1000+1'UNH+1+INVOIC:D:96A:UN'" + strings.Repeat("LIN+1++4000862141404:SRS'", 20)),
		"scan.pdf": []byte("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n" + string(randomBytes(3001)) +
			"\nxref\n0 1\ntrailer\n<</Size 1>>\nstartxref\n100\n%%EOF\n"),
		"raw.bin": randomBytes(5000),
	}
	picture := image.NewGray(image.Rect(0, 0, 40, 30))
	for i := range picture.Pix {
		picture.Pix[i] = byte(i * 7)
	}
	picture.SetGray(1, 1, color.Gray{9})
	var png8, jpg, zipped, gz bytes.Buffer
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(png.Encode(&png8, picture))
	must(jpeg.Encode(&jpg, picture, nil))
	z := zip.NewWriter(&zipped)
	w, err := z.Create("word/document.xml")
	must(err)
	_, err = w.Write([]byte("<?xml version=\"1.0\"?><w:document/>"))
	must(err)
	must(z.Close())
	g := gzip.NewWriter(&gz)
	_, err = g.Write(bytes.Repeat([]byte("a line of a log that was packed\n"), 300))
	must(err)
	must(g.Close())
	files["logo.png"], files["photo.jpg"], files["letter.docx"], files["server.log.gz"] = png8.Bytes(), jpg.Bytes(), zipped.Bytes(), gz.Bytes()
	return files
}

// lay writes files into a new folder.
func lay(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func encrypted(t testing.TB, p Profile, secret string, files map[string][]byte) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for name, content := range files {
		if p.Pad == NoPad && p.Mode.whole() {
			content = append(bytes.Clone(content), bytes.Repeat([]byte("\n"), -len(content)&15)...)
		}
		out[name] = encrypt(t, p, secret, content)
	}
	return out
}

func find(t testing.TB, dir, secret string, iterations ...int) (Found, error) {
	t.Helper()
	samples, err := Samples(t.Context(), os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	p := Prober{Passphrase: secret, Iterations: iterations, Jobs: 2}
	return p.Find(t.Context(), samples)
}

func TestProbingFindsTheProfile(t *testing.T) {
	files := archive(t)
	for _, text := range []string{
		"aes-256-ecb kdf=sha256 pad=pkcs7",
		"aes-256-ecb kdf=md5hex pad=zero",
		"aes-256-cbc kdf=sha256 iv=zero pad=pkcs7",
		"aes-256-cbc kdf=raw iv=md5 pad=pkcs7",
		"aes-256-cbc kdf=sha512 header=iv iv=file pad=zero",
		"aes-256-cbc kdf=sha256 text=utf16le header=length,iv iv=file pad=none",
		"aes-256-cbc kdf=evp-md5 iterations=1 header=salted iv=derived pad=pkcs7",
		"aes-256-cbc kdf=pbkdf2-sha256 iterations=1000 header=salted iv=derived pad=pkcs7",
		"aes-256-ctr kdf=sha256 iv=zero",
		"aes-128-ctr kdf=md5 header=iv iv=file",
		"aes-256-ctr kdf=pbkdf2-sha1 iterations=1000 header=salt8,iv iv=file",
		"aes-256-cfb kdf=sha256 iv=zero",
		"aes-256-cfb8 kdf=sha1 header=iv iv=file",
		"aes-192-ofb kdf=evp-sha256 iterations=1 iv=derived",
		"aes-256-ofb kdf=sha256 text=windows1252 header=skip16 iv=zero",
		"aes-256-cbc kdf=hex iv=zero pad=pkcs7",
	} {
		t.Run(text, func(t *testing.T) {
			p := mustParse(t, text)
			secret := passphrase
			if p.KDF == kdfHex {
				secret = hexKey(p.Bits)
			}
			found, err := find(t, lay(t, encrypted(t, p, secret, files)), secret, 1000)
			if err != nil {
				t.Fatalf("%v: %s, tied %v", err, found.Profile, found.Tied)
			}
			if got := found.Profile.String(); got != p.String() {
				t.Errorf("got  %s\nwant %s", got, p)
			}
			if found.Recognised < len(files)-2 || found.Samples != len(files) || found.Bits < enough {
				t.Errorf("got %+v", found)
			}
		})
	}
}

// TestOneTextIsEnough: a profile is found by a single file, too, if it tells enough.
func TestOneTextIsEnough(t *testing.T) {
	p := mustParse(t, "aes-256-cbc kdf=sha256 header=iv iv=file pad=pkcs7")
	one := map[string][]byte{"orders.csv": archive(t)["orders/2013.csv"]}
	found, err := find(t, lay(t, encrypted(t, p, passphrase, one)), passphrase, 1000)
	if err != nil || found.Profile.String() != p.String() {
		t.Errorf("%s, %v, %v", found.Profile, found.Tied, err)
	}
}

func TestAWrongPassphraseFindsNothing(t *testing.T) {
	p := mustParse(t, "aes-256-cbc kdf=sha256 iv=zero")
	dir := lay(t, encrypted(t, p, passphrase, archive(t)))
	if found, err := find(t, dir, passphrase+".", 1000); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v: %v", found, err)
	}
	if found, err := find(t, t.TempDir(), passphrase, 1000); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v: %v", found, err)
	}
}

func TestFilesThatAreNotEncryptedAreToldAtOnce(t *testing.T) {
	if found, err := find(t, lay(t, archive(t)), passphrase); !errors.Is(err, ErrClear) {
		t.Errorf("%v: %v", found, err)
	}
}

// TestWhatCannotBeDecidedIsNotGuessed: CTR, CFB and OFB agree on the first block, and
// nothing but the first block of this file says anything.
func TestWhatCannotBeDecidedIsNotGuessed(t *testing.T) {
	p := mustParse(t, "aes-256-ctr kdf=sha256 iv=zero")
	files := map[string][]byte{}
	for i := range 3 {
		files[fmt.Sprintf("%d.rar", i)] = append([]byte("Rar!\x1a\x07\x01\x00"), randomBytes(4000+i)...)
	}
	found, err := find(t, lay(t, encrypted(t, p, passphrase, files)), passphrase, 1000)
	if !errors.Is(err, ErrAmbiguous) || len(found.Tied) < 2 {
		t.Errorf("%s, %v, %v", found.Profile, found.Tied, err)
	}
}

func TestAProbeCanBeCalledOff(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := Prober{Passphrase: passphrase}
	if _, err := p.Find(ctx, []Sample{{Name: "a.txt", Data: randomBytes(100), Complete: true}}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestKindsAreRecognisedByTheirContent(t *testing.T) {
	for name, content := range archive(t) {
		kind, bits := look(content, true)
		if want := kindOfName(name); kind != want || want != "" && bits < 40 {
			t.Errorf("%s is taken for %q with %d bits", name, kind, bits)
		}
		if !fits(name, content) {
			t.Errorf("%s does not fit its name", name)
		}
		if kindOfName(name) != "" && fits(name, randomBytes(4096)) {
			t.Errorf("bytes of no meaning fit %s", name)
		}
	}
	for _, content := range [][]byte{randomBytes(64), randomBytes(4096), make([]byte, 4096), nil} {
		if kind, bits := look(content, true); bits >= sure {
			t.Errorf("%d bytes of no meaning are taken for %s with %d bits", len(content), kind, bits)
		}
	}
	wide := []byte{0xff, 0xfe}
	for _, r := range "Zeichen in UTF-16, wie Windows sie schreibt" {
		wide = append(wide, byte(r), 0)
	}
	if kind, bits := look(wide, true); kind != textKind || bits < 100 {
		t.Errorf("UTF-16 is taken for %s with %d bits", kind, bits)
	}
}

func FuzzLook(f *testing.F) {
	for _, content := range archive(f) {
		f.Add(content[:min(len(content), 600)], true)
	}
	for _, k := range kinds {
		f.Add(append(append(make([]byte, k.at), k.magic...), make([]byte, 80)...), false)
	}
	f.Fuzz(func(t *testing.T, content []byte, complete bool) {
		if kind, bits := look(content, complete); bits < 0 || bits > 0 && kind == "" {
			t.Errorf("%s, %d", kind, bits)
		}
		for _, name := range []string{"a.zip", "a.txt", "a.pdf", "a"} {
			fits(name, content)
		}
	})
}
