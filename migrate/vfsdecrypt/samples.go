package vfsdecrypt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
)

// What samples are taken of.
const (
	// MaxSamples is how many files a profile is looked for with.
	MaxSamples = 16
	// sampleWhole is the size up to which a sample is a whole file, whose end tells of its
	// padding; of a larger one sampleHead bytes are read.
	sampleWhole = 512 << 10
	sampleHead  = 64 << 10
	// sampleWalk is after how many files of a tree no better ones are looked for.
	sampleWalk = 5000
)

// Samples chooses files that tell much of how they were encrypted: small ones, of kinds
// that can be recognised, and of as many kinds as there are.
func Samples(ctx context.Context, source fs.FS) ([]Sample, error) {
	files, err := candidates(ctx, source)
	if err != nil {
		return nil, err
	}
	var out []Sample
	for _, f := range chosen(files) {
		s, err := readSample(source, f)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func candidates(ctx context.Context, source fs.FS) ([]File, error) {
	var out []File
	err := walk(ctx, source, func(f File) error {
		if f.Passed == "" && !f.Folder && f.Size >= 2*blockSize {
			out = append(out, f)
		}
		if len(out) >= sampleWalk {
			return fs.SkipAll
		}
		return nil
	})
	return out, err
}

// chosen takes the best of each kind in turn.
func chosen(files []File) []File {
	slices.SortStableFunc(files, func(a, b File) int { return cmp.Compare(worth(a), worth(b)) })
	ofKind := map[string]int{}
	turn := make(map[string]int, len(files))
	for _, f := range files {
		kind := kindOfName(f.Path)
		turn[f.Path] = ofKind[kind]
		ofKind[kind]++
	}
	slices.SortStableFunc(files, func(a, b File) int { return cmp.Compare(turn[a.Path], turn[b.Path]) })
	return files[:min(len(files), MaxSamples)]
}

// worth ranks a file as a sample, the lowest first: text tells of every block, a whole file
// of its end, a longer one more than one of a line.
func worth(f File) int {
	rank := 0
	switch kindOfName(f.Path) {
	case textKind:
	case "":
		rank += 8
	default:
		rank += 2
	}
	if f.Size > sampleWhole {
		rank += 4
	}
	if f.Size < 128 {
		rank++
	}
	return rank
}

func readSample(source fs.FS, f File) (s Sample, err error) {
	file, err := source.Open(f.Path)
	if err != nil {
		return s, fmt.Errorf("read a sample: %w", err)
	}
	defer file.Close()
	s = Sample{Name: f.Path, Complete: f.Size <= sampleWhole}
	limit := f.Size
	if !s.Complete {
		limit = sampleHead
	}
	if s.Data, err = io.ReadAll(io.LimitReader(file, limit)); err != nil {
		return s, fmt.Errorf("read the sample %s: %w", f.Path, err)
	}
	if s.Complete {
		return s, nil
	}
	// The end tells of the padding, and two blocks of it are enough to decrypt the last.
	at, ok := file.(io.ReaderAt)
	if !ok {
		return s, nil
	}
	s.Size, s.Tail = f.Size, make([]byte, 2*blockSize)
	if _, err := at.ReadAt(s.Tail, f.Size-int64(len(s.Tail))); err != nil && !errors.Is(err, io.EOF) {
		return s, fmt.Errorf("read the end of the sample %s: %w", f.Path, err)
	}
	return s, nil
}
