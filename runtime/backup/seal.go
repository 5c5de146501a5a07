package backup

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
)

// The seal is the comment at the very end of the zip: sealPrefix and the SHA-256, in hex,
// of every byte before it. A zip's parts have hashes, but its directory and the headers
// between the parts do not; with the seal not a single byte can change unseen, and a file
// that was cut has none.
const sealPrefix = "SS Server backup, sha256 "

const sealLen = len(sealPrefix) + 2*sha256.Size

// sealer hashes what passes and holds the last sealLen bytes back: the comment is written
// as a blank and filled in when everything before it is known.
type sealer struct {
	to   io.Writer
	sum  hash.Hash
	held []byte
}

// Write implements io.Writer.
func (s *sealer) Write(p []byte) (int, error) {
	if len(p) < sealLen {
		s.held = append(s.held, p...)
		return len(p), s.pass(len(s.held) - sealLen)
	}
	if err := s.pass(len(s.held)); err != nil {
		return 0, err
	}
	body := p[:len(p)-sealLen]
	s.sum.Write(body)
	if _, err := s.to.Write(body); err != nil {
		return 0, err
	}
	s.held = append(s.held, p[len(body):]...)
	return len(p), nil
}

// pass lets the first n of the held bytes go.
func (s *sealer) pass(n int) error {
	if n <= 0 {
		return nil
	}
	s.sum.Write(s.held[:n])
	if _, err := s.to.Write(s.held[:n]); err != nil {
		return err
	}
	s.held = append(s.held[:0], s.held[n:]...)
	return nil
}

// finish closes the zip and writes the seal, whose hash it returns.
func (s *sealer) finish(z *zip.Writer) (string, error) {
	blank := strings.Repeat("-", sealLen)
	if err := errors.Join(z.SetComment(blank), z.Close()); err != nil {
		return "", err
	}
	if string(s.held) != blank {
		return "", errors.New("the zip does not end with its comment")
	}
	sum := hex.EncodeToString(s.sum.Sum(nil))
	_, err := io.WriteString(s.to, sealPrefix+sum)
	return sum, err
}

// checkSeal reads the whole file and compares it with its seal, whose hash it returns.
func checkSeal(r io.ReaderAt, size int64) (string, error) {
	if size <= int64(sealLen) {
		return "", fmt.Errorf("%w: it has only %d bytes", ErrNotBackup, size)
	}
	end := make([]byte, sealLen)
	if _, err := r.ReadAt(end, size-int64(sealLen)); err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the end of the backup: %w", readError(err))
	}
	want, ok := strings.CutPrefix(string(end), sealPrefix)
	if !ok {
		return "", fmt.Errorf("%w: the seal at the end is missing; the file was cut, or another program made it (this version imports no backup of version 4, 5 or 6)", ErrNotBackup)
	}
	sum := sha256.New()
	n, err := io.Copy(sum, io.NewSectionReader(r, 0, size-int64(sealLen)))
	if err != nil {
		return "", fmt.Errorf("read the backup: %w", readError(err))
	}
	if got := hex.EncodeToString(sum.Sum(nil)); n != size-int64(sealLen) || got != want {
		return "", fmt.Errorf("%w: its content does not fit the seal at its end; take another copy", ErrDamaged)
	}
	return want, nil
}
