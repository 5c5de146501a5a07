package sftp3_test

import (
	"io/fs"

	"ss-setup/runtime/vfs"
)

// bounded makes no file larger than a MiB: a fuzzer would fill the disk.
type bounded struct{ vfs.FS }

const most = 1 << 20

func (b bounded) Open(name vfs.Path, flag vfs.Flag, mode fs.FileMode) (vfs.File, error) {
	f, err := b.FS.Open(name, flag, mode)
	if err != nil {
		return nil, err
	}
	return boundedFile{f}, nil
}

func (b bounded) SetStat(name vfs.Path, c vfs.Change) error {
	if c.Size != nil && *c.Size > most {
		return vfs.ErrTooLarge
	}
	return b.FS.SetStat(name, c)
}

type boundedFile struct{ vfs.File }

func (f boundedFile) WriteAt(p []byte, at int64) (int, error) {
	if at > most {
		return 0, vfs.ErrTooLarge
	}
	return f.File.WriteAt(p, at)
}

func (f boundedFile) SetStat(c vfs.Change) error {
	if c.Size != nil && *c.Size > most {
		return vfs.ErrTooLarge
	}
	return f.File.SetStat(c)
}

// withQuota has 10 GiB, of which 9 are free.
type withQuota struct{ vfs.FS }

func (withQuota) StatFS(vfs.Path) (vfs.Space, error) {
	return vfs.Space{Total: 10 << 30, Free: 9 << 30, Files: vfs.Unlimited, FreeFiles: vfs.Unlimited}, nil
}
