package web

import (
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"time"
)

// uploadPatience is how long the next bytes of a file may let themselves be waited for.
const uploadPatience = 30 * time.Second

// partKey is where a request keeps the file that its form ends with.
type partKey struct{}

// partBody is the body of a form that ends with a file. What stands before the file is bounded,
// all of it: the library takes megabytes of header for each part, names included. Once the file
// is wanted a client has more time with every byte that came.
type partBody struct {
	io.ReadCloser
	deadline func(time.Time) error
	// left is how much may be read until the file is wanted, in bytes.
	left   int64
	wanted bool
}

// Read implements io.Reader.
func (b *partBody) Read(p []byte) (int, error) {
	if b.wanted {
		_ = b.deadline(time.Now().Add(uploadPatience)) // a test's recorder knows none
		return b.ReadCloser.Read(p)
	}
	if b.left <= 0 {
		return 0, errFormTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// readParts reads a form that ends with a file, up to that file: what stands before it tells
// whether anybody wants it.
func (p *Pages) readParts(w http.ResponseWriter, r *http.Request, most int64) error {
	r.Body = &partBody{ReadCloser: r.Body, deadline: http.NewResponseController(w).SetReadDeadline, left: most}
	r.PostForm = url.Values{}
	parts, err := r.MultipartReader()
	if err != nil {
		return err
	}
	return readFields(parts, r)
}

var errFormTooLarge = errors.New("the fields before the file are too large")

// readFields reads what the body lets it.
func readFields(parts *multipart.Reader, r *http.Request) error {
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := part.FormName()
		if name == "file" {
			*r = *r.WithContext(context.WithValue(r.Context(), partKey{}, part))
			return nil
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return err
		}
		r.PostForm.Add(name, string(text))
	}
}

// file is the one that the form ends with, and its name; nil if there is none.
func (v *visit) file() (io.Reader, string) {
	part, ok := v.r.Context().Value(partKey{}).(*multipart.Part)
	if !ok {
		return nil, ""
	}
	if body, ok := v.r.Body.(*partBody); ok {
		body.wanted = true
	}
	return part, cut(part.FileName(), 200)
}
