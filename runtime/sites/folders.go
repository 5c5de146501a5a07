package sites

import (
	"slices"
	"strings"
	"sync"
	"time"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/vfs/volume"
)

// FolderProblem is a VFS whose folder cannot be opened, and why.
type FolderProblem struct {
	VFS     model.Key
	Problem string
}

const (
	// folderWait is how long whoever asks waits for a look at the folders.
	folderWait = 200 * time.Millisecond
	// folderSlow is when a disk counts as one that does not answer.
	folderSlow = 5 * time.Second
)

// folders remember what the last look at the folders of all VFSs has found.
type folders struct {
	mu   sync.Mutex
	last []FolderProblem
	done chan struct{} // of the look that runs; nil if none does
	at   model.Key     // what it looks at, since when
	from time.Time
}

// Folders tells which VFSs have a folder that cannot be opened. It looks, but does not wait for
// a disk that is slow: it then tells what was found the last time.
func (m *Manager) Folders() []FolderProblem {
	f := &m.folders
	f.mu.Lock()
	if f.done == nil {
		f.done = make(chan struct{})
		go f.look(m.allVFSs(), f.done)
	}
	done := f.done
	f.mu.Unlock()
	select {
	case <-done:
	case <-time.After(folderWait):
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	out := slices.Clone(f.last)
	if f.done != nil && f.at != (model.Key{}) && time.Since(f.from) > folderSlow {
		out = append(slices.DeleteFunc(out, func(p FolderProblem) bool { return p.VFS == f.at }), FolderProblem{f.at, "its disk does not answer"})
	}
	return out
}

// look looks once at all. It ends when their disks answer, which may be after the manager.
func (f *folders) look(all []*model.VFS, done chan struct{}) {
	var found []FolderProblem
	for _, v := range all {
		f.mu.Lock()
		f.at, f.from = v.Key(), time.Now()
		f.mu.Unlock()
		if err := volume.Openable(v.Root); err != nil {
			found = append(found, FolderProblem{v.Key(), strings.TrimPrefix(err.Error(), volume.ErrFolder.Error()+": ")})
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last, f.done, f.at = found, nil, model.Key{}
	close(done)
}

// allVFSs are those of all sites.
func (m *Manager) allVFSs() (all []*model.VFS) {
	err := m.opt.Engine.Read(func(r *engine.Reader) error {
		for o, err := range r.All(model.KindVFS) {
			if err != nil {
				return err
			}
			all = append(all, o.(*model.VFS))
		}
		return nil
	})
	if err != nil {
		m.log.Error("the folders of the VFSs cannot be looked at", "error", err)
	}
	return all
}
