package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strings"
)

//go:embed templates static
var files embed.FS

// assets are the files that pages ask for, under names that change with their content.
type assets struct {
	byName map[string]asset
	// names has the name in use of each file: style.css is style-0123456789ab.css.
	names map[string]string
}

type asset struct {
	kind        string
	plain, gzip []byte
}

var assetKinds = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// newAssets reads the files. They are part of the program: a fault in them is a fault of the
// build, which every start and every test would show.
func newAssets() *assets {
	a := &assets{byName: map[string]asset{}, names: map[string]string{}}
	entries := must(files.ReadDir("static"))
	for _, e := range entries {
		text := must(files.ReadFile("static/" + e.Name()))
		sum := sha256.Sum256(text)
		ext := path.Ext(e.Name())
		name := strings.TrimSuffix(e.Name(), ext) + "-" + hex.EncodeToString(sum[:6]) + ext
		var packed bytes.Buffer
		w := must(gzip.NewWriterLevel(&packed, gzip.BestCompression))
		must(w.Write(text))
		if err := w.Close(); err != nil {
			panic(err)
		}
		a.byName[name] = asset{assetKinds[ext], text, packed.Bytes()}
		a.names[e.Name()] = "/static/" + name
	}
	return a
}

func (a *assets) serve(w http.ResponseWriter, r *http.Request) {
	found, ok := a.byName[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", found.kind)
	// The name changes with the content, so the content under a name never does.
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		w.Write(found.gzip)
		return
	}
	w.Write(found.plain)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
