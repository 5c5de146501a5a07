package repository

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ss-setup/installer/bundle/trust"
)

// partSuffix ends the name of a file that is not whole yet.
const partSuffix = ".part"

// errLocal marks what went wrong on this machine: no other mirror would help.
var errLocal = errors.New("this machine")

// Download gets a target into file, mode 0600, from the first mirror that has it.
// The file has its name only when its size and digest are right; until then it is
// file.part, which a later call takes up. progress, which may be nil, gets bytes.
func (c *Client) Download(ctx context.Context, t trust.Target, file string, progress func(done, total int64)) error {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	if digest, err := digestOf(file); err == nil && digest == t.SHA256 {
		progress(t.Size, t.Size)
		return nil
	}
	lost := &Unreachable{What: t.Path}
	var refused error
	for _, m := range c.mirrors {
		d := &download{c: c, t: t, from: m.JoinPath("targets", t.StoredAs()), file: file, progress: progress}
		err := c.persistWhile(ctx, d.grew, d.try)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, errLocal) {
			return err
		}
		if _, ok := errors.AsType[*trust.Refusal](err); ok && refused == nil {
			refused = fmt.Errorf("%s from %s: %w", t.Path, m.Redacted(), err)
		}
		lost.Tried = append(lost.Tried, c.attempt(m, err))
	}
	if refused != nil {
		return refused
	}
	return lost
}

// Read gets a small target into memory.
func (c *Client) Read(ctx context.Context, t trust.Target) ([]byte, error) {
	dir, err := os.MkdirTemp("", "ss-setup-read-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "target")
	if err := c.Download(ctx, t, file, nil); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

// download is one file from one mirror.
type download struct {
	c        *Client
	t        trust.Target
	from     *url.URL
	file     string
	progress func(done, total int64)
	// most is how much of it there was after any try.
	most int64
}

// grew tells whether there is more of the file than after any try before.
func (d *download) grew() bool {
	info, err := os.Stat(d.file + partSuffix)
	if err != nil || info.Size() <= d.most {
		return false
	}
	d.most = info.Size()
	return true
}

// try gets what is missing of the file, and proves the whole.
func (d *download) try(ctx context.Context) error {
	f, err := os.OpenFile(d.file+partSuffix, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", errLocal, err)
	}
	defer f.Close()
	have, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("%w: %w", errLocal, err)
	}
	resumed := have > 0
	if have > d.t.Size {
		resumed, have = false, 0
	}
	if have < d.t.Size {
		if err = d.fetch(ctx, f, have); err != nil {
			return err
		}
	}
	return d.finish(f, resumed)
}

// fetch appends what comes from the server.
func (d *download) fetch(ctx context.Context, f *os.File, have int64) error {
	resp, stop, err := d.c.get(ctx, d.from, have, d.t.Size)
	if err != nil {
		return err
	}
	defer stop()
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusPartialContent && startsAt(resp, have):
	case resp.StatusCode == http.StatusOK:
		have = 0 // the server does not resume
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return trust.Refuse(trust.Truncated, "the server has no more than %d of the %d bytes of %s", have, d.t.Size, d.t.Path)
	case resp.StatusCode == http.StatusPartialContent:
		return errors.Join(fmt.Errorf("the server answers with another part of %s than was asked for", d.t.Path), truncate(f, 0))
	default:
		return status(resp)
	}
	if resp.ContentLength > 0 && have+resp.ContentLength > d.t.Size {
		return trust.Refuse(trust.Oversized, "the server announces %d bytes of %s, which has %d", have+resp.ContentLength, d.t.Path, d.t.Size)
	}
	if err := truncate(f, have); err != nil {
		return err
	}
	return d.copy(f, resp.Body, have)
}

// copy writes at most one byte more than there may be.
func (d *download) copy(f *os.File, body io.Reader, have int64) error {
	buf := make([]byte, 128<<10)
	for {
		n, err := body.Read(buf)
		if have+int64(n) > d.t.Size {
			return errors.Join(trust.Refuse(trust.Oversized, "%s goes on after its %d bytes", d.t.Path, d.t.Size), truncate(f, 0))
		}
		if _, werr := f.Write(buf[:n]); werr != nil {
			return fmt.Errorf("%w: %w", errLocal, werr)
		}
		have += int64(n)
		d.progress(have, d.t.Size)
		switch {
		case errors.Is(err, io.EOF) && have < d.t.Size:
			return trust.Refuse(trust.Truncated, "%s ends after %d of %d bytes", d.t.Path, have, d.t.Size)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// finish gives a file that is right its name. A wrong one is thrown away; when part
// of it came from an earlier call, that may be to blame, and it is worth a try more.
func (d *download) finish(f *os.File, resumed bool) error {
	digest, err := digestOf(f.Name())
	if err != nil {
		return fmt.Errorf("%w: %w", errLocal, err)
	}
	if digest == d.t.SHA256 {
		if err := os.Rename(f.Name(), d.file); err != nil {
			return fmt.Errorf("%w: %w", errLocal, err)
		}
		return nil
	}
	if err := truncate(f, 0); err != nil {
		return err
	}
	if resumed {
		return fmt.Errorf("what had been downloaded of %s before was damaged", d.t.Path)
	}
	return trust.Refuse(trust.Swapped, "the SHA-256 of %s is %s, the signed metadata say %s", d.t.Path, digest, d.t.SHA256)
}

func truncate(f *os.File, size int64) error {
	err := f.Truncate(size)
	if err == nil {
		_, err = f.Seek(size, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errLocal, err)
	}
	return nil
}

// startsAt tells whether a part begins where it was asked to: Content-Range is
// "bytes 5-9/10".
func startsAt(resp *http.Response, offset int64) bool {
	span, isBytes := strings.CutPrefix(resp.Header.Get("Content-Range"), "bytes ")
	first, _, _ := strings.Cut(span, "-")
	n, err := strconv.ParseInt(first, 10, 64)
	return isBytes && err == nil && n == offset
}

func digestOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
