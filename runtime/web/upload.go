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

// patientBody gives a client more time with every byte that came, once it is known to be
// let in.
type patientBody struct {
	io.ReadCloser
	deadline func(time.Time) error
	patient  bool
}

// Read implements io.Reader.
func (b *patientBody) Read(p []byte) (int, error) {
	if b.patient {
		_ = b.deadline(time.Now().Add(uploadPatience)) // a test's recorder knows none
	}
	return b.ReadCloser.Read(p)
}

// patientWriter lets a client take its time with a file, but not stand still: nobody's file
// is kept open for ever.
type patientWriter struct {
	http.ResponseWriter
	deadline func(time.Time) error
}

// Write implements io.Writer.
func (w *patientWriter) Write(p []byte) (int, error) {
	_ = w.deadline(time.Now().Add(uploadPatience)) // a test's recorder knows none
	return w.ResponseWriter.Write(p)
}

// done lets the connection be used for more.
func (w *patientWriter) done() { _ = w.deadline(time.Time{}) }

// readParts reads a form that ends with a file, up to that file: what stands before it tells
// whether anybody wants it.
func (p *Pages) readParts(w http.ResponseWriter, r *http.Request, most int64) error {
	r.Body = &patientBody{ReadCloser: r.Body, deadline: http.NewResponseController(w).SetReadDeadline}
	r.PostForm = url.Values{}
	parts, err := r.MultipartReader()
	if err != nil {
		return err
	}
	return readFields(parts, r, most)
}

var errFormTooLarge = errors.New("the fields before the file are too large")

func readFields(parts *multipart.Reader, r *http.Request, left int64) error {
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if part.FormName() == "file" {
			*r = *r.WithContext(context.WithValue(r.Context(), partKey{}, part))
			return nil
		}
		text, err := io.ReadAll(io.LimitReader(part, left+1))
		if err != nil {
			return err
		}
		if left -= int64(len(text)) + 100; left < 0 {
			return errFormTooLarge
		}
		r.PostForm.Add(part.FormName(), string(text))
	}
}

// file is the one that the form ends with, and its name; nil if there is none.
func (v *visit) file() (io.Reader, string) {
	part, ok := v.r.Context().Value(partKey{}).(*multipart.Part)
	if !ok {
		return nil, ""
	}
	if body, ok := v.r.Body.(*patientBody); ok {
		body.patient = true
	}
	return part, cut(part.FileName(), 200)
}
