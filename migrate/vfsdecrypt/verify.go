package vfsdecrypt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// ErrDiffers: the file in the target is another one than the source becomes.
var ErrDiffers = errors.New("it is not what the source becomes")

// Compare is a Target that holds what is there against what is put: a Run into it decrypts
// all of the source again, writes nothing, and fails for each file that is missing or not
// the same.
type Compare struct{ With fs.FS }

// Has implements Target: nothing is taken for granted.
func (c Compare) Has(context.Context, File, Expected) (bool, error) { return false, nil }

// MakeFolder implements Target. Of a folder that is missing its files tell.
func (c Compare) MakeFolder(context.Context, File) error { return nil }

// Put implements Target.
func (c Compare) Put(_ context.Context, f File, open func() (io.ReadCloser, error)) error {
	got, err := c.With.Open(f.Path)
	if err != nil {
		return err
	}
	defer got.Close()
	content, err := open()
	if err != nil {
		return err
	}
	defer content.Close()
	same := &comparer{with: got}
	if _, err := io.Copy(same, content); err != nil {
		return err
	}
	if n, _ := got.Read(make([]byte, 1)); n > 0 {
		return fmt.Errorf("%w: it goes on after %d bytes", ErrDiffers, same.at)
	}
	return nil
}

// Settle implements Target.
func (c Compare) Settle() error { return nil }

// comparer is a writer that takes only what it reads.
type comparer struct {
	with io.Reader
	at   int64
	buf  []byte
}

func (c *comparer) Write(p []byte) (int, error) {
	if len(c.buf) < len(p) {
		c.buf = make([]byte, len(p))
	}
	n, err := io.ReadFull(c.with, c.buf[:len(p)])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, err
	}
	if n < len(p) {
		return 0, fmt.Errorf("%w: it ends after %d bytes", ErrDiffers, c.at+int64(n))
	}
	if !bytes.Equal(c.buf[:n], p) {
		return 0, fmt.Errorf("%w: they differ within the bytes %d to %d", ErrDiffers, c.at, c.at+int64(n))
	}
	c.at += int64(n)
	return n, nil
}
