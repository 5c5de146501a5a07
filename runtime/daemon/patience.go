package daemon

import (
	"net/http"
	"time"
)

// writePatience is how long a client may take to accept the next piece of an answer. Tests do
// not wait so long.
var writePatience = time.Minute

// writePiece is how much of an answer is written at once, in bytes: a slow line takes that much
// within writePatience.
const writePiece = 64 << 10

// patient lets clients take their time with an answer, but not stand still: whoever reads nothing
// would keep a goroutine and a page for ever. Only what is being written has a deadline. A handler
// that reads a long file first, or has nothing to tell for a while, is not hurried.
func patient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := &patientWriter{w, http.NewResponseController(w)}
		to.rest() // the connection may have the deadline of an earlier request
		next.ServeHTTP(to, r)
		to.hurry() // the library writes what it has kept back
	})
}

// patientWriter gives the client time anew with every piece that it takes.
type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

// hurry and rest set and take away the deadline. A test's recorder knows none.
func (w *patientWriter) hurry() { _ = w.control.SetWriteDeadline(time.Now().Add(writePatience)) }
func (w *patientWriter) rest()  { _ = w.control.SetWriteDeadline(time.Time{}) }

// Unwrap is for http.ResponseController.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write implements io.Writer.
func (w *patientWriter) Write(p []byte) (n int, err error) {
	defer w.rest()
	for {
		w.hurry()
		written, err := w.ResponseWriter.Write(p[n:min(n+writePiece, len(p))])
		if n += written; err != nil || n == len(p) {
			return n, err
		}
	}
}

// FlushError is for http.ResponseController.
func (w *patientWriter) FlushError() error {
	defer w.rest()
	w.hurry()
	return w.control.Flush()
}
