// Package quota counts bytes and files, refuses what goes beyond a hard limit and tells
// what goes beyond a soft one.
//
// What is counted is kept in a file, with the word whether it can be relied on: the word
// is taken away, and synced, before the first change, and comes back when the count is
// saved at the end. Who finds it missing after a crash counts again.
package quota

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"ss-setup/runtime/durable"
	"ss-setup/runtime/vfs"
)

// Use is what is counted.
type Use struct {
	Bytes int64 `json:"bytes"`
	Files int64 `json:"files"`
}

// Limits of a quota. Zero is no limit.
type Limits struct {
	SoftBytes, HardBytes int64
	SoftFiles, HardFiles int64
}

// Account is one quota, shared by all sessions that it holds for. A nil Account limits
// and counts nothing.
type Account struct {
	*counter
	onSoft func(Use)

	// Under the counter's lock.
	limits Limits
	told   bool // of the soft limit
}

// counter is what is counted, of all accounts with limits of their own for one thing.
type counter struct {
	keep Keeper

	mu      sync.Mutex
	use     Use
	since   Use // changes since a count began
	sure    bool
	started bool // the keeper knows that the count changes
	unsaved bool // the keeper does not know the count
}

// Keeper remembers one account. Implementations: File, and in tests anything.
type Keeper interface {
	// Load gives what was saved; sure says that it still holds. Nothing saved is zero
	// and not sure.
	Load() (use Use, sure bool, err error)
	// Save returns when it is on the disk.
	Save(use Use, sure bool) error
}

// Open takes up an account. onSoft is called once when a soft limit is passed, and once
// more after it was gone back under; nil for nobody.
func Open(keep Keeper, limits Limits, onSoft func(Use)) (*Account, error) {
	use, sure, err := keep.Load()
	if err != nil {
		return nil, fmt.Errorf("read what a quota has counted: %w", err)
	}
	return &Account{counter: &counter{keep: keep, use: use, sure: sure}, limits: limits, onSoft: onSoft}, nil
}

// With is an account with other limits for what a counts: each sees what is added to the
// other.
func (a *Account) With(limits Limits, onSoft func(Use)) *Account {
	return &Account{counter: a.counter, limits: limits, onSoft: onSoft}
}

// Narrowest are the limits that two sets of them make together.
func Narrowest(a, b Limits) Limits {
	less := func(a, b int64) int64 {
		if a == 0 || b != 0 && b < a {
			return b
		}
		return a
	}
	return Limits{
		SoftBytes: less(a.SoftBytes, b.SoftBytes), HardBytes: less(a.HardBytes, b.HardBytes),
		SoftFiles: less(a.SoftFiles, b.SoftFiles), HardFiles: less(a.HardFiles, b.HardFiles),
	}
}

// SetLimits changes the limits. What is there beyond them stays.
func (a *Account) SetLimits(l Limits) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.limits, a.told = l, false
}

// Use is what is counted now; sure says whether a count is not needed.
func (a *Account) Use() (use Use, sure bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.use, a.sure
}

// Add counts bytes and files, or takes them away where they are negative. vfs.ErrQuota
// where that would pass a hard limit; less is always taken.
func (a *Account) Add(bytes, files int64) error {
	if a == nil || bytes == 0 && files == 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if bytes > 0 && beyond(a.use.Bytes+bytes, a.limits.HardBytes) || files > 0 && beyond(a.use.Files+files, a.limits.HardFiles) {
		return vfs.ErrQuota
	}
	if !a.started {
		if err := a.keep.Save(a.use, false); err != nil {
			return fmt.Errorf("note that a quota's count changes: %w", err)
		}
		a.started = true
	}
	a.unsaved = true
	a.use.add(bytes, files)
	a.since.Bytes, a.since.Files = a.since.Bytes+bytes, a.since.Files+files
	a.tell()
	return nil
}

func (u *Use) add(bytes, files int64) {
	u.Bytes, u.Files = max(0, u.Bytes+bytes), max(0, u.Files+files)
}

func beyond(n, limit int64) bool { return limit > 0 && n > limit }

func (a *Account) tell() {
	over := a.beyondSoft()
	if over && !a.told && a.onSoft != nil {
		a.onSoft(a.use)
	}
	a.told = over
}

// Full tells that a soft limit is passed: what is being stored may come to its end, and
// nothing new begins.
func (a *Account) Full() bool {
	if a == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.beyondSoft()
}

func (a *Account) beyondSoft() bool {
	return beyond(a.use.Bytes, a.limits.SoftBytes) || beyond(a.use.Files, a.limits.SoftFiles)
}

// Left is the room under the hard limits, vfs.Unlimited where there is none.
func (a *Account) Left() (total, left Use) {
	total = Use{vfs.Unlimited, vfs.Unlimited}
	if a == nil {
		return total, total
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	left = total
	if l := a.limits.HardBytes; l > 0 {
		total.Bytes, left.Bytes = l, max(0, l-a.use.Bytes)
	}
	if l := a.limits.HardFiles; l > 0 {
		total.Files, left.Files = l, max(0, l-a.use.Files)
	}
	return total, left
}

// Recount walks trees and takes what it finds for the count, with what changes meanwhile.
// trees are the account's, as its user does not see them: with what uploads have left.
func (a *Account) Recount(ctx context.Context, trees ...vfs.FS) error {
	a.mu.Lock()
	a.since = Use{}
	a.mu.Unlock()
	var found Use
	for _, tree := range trees {
		if err := count(ctx, tree, &found); err != nil {
			return fmt.Errorf("count what a quota holds: %w", err)
		}
	}
	a.mu.Lock()
	a.use = found
	a.use.add(a.since.Bytes, a.since.Files)
	a.sure, a.unsaved = true, true
	a.tell()
	a.mu.Unlock()
	return a.Flush()
}

func count(ctx context.Context, tree vfs.FS, found *Use) error {
	return vfs.Walk(ctx, tree, vfs.Root, func(path vfs.Path, info vfs.Info) error {
		if _, private := path.In(vfs.Root.Reserved(vfs.Private)); !private && info.Mode.IsRegular() {
			found.Bytes += info.Size
			found.Files++
		}
		return nil
	})
}

// Flush saves the count. It holds after a restart until the next change.
func (a *Account) Flush() error {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.unsaved {
		return nil
	}
	if err := a.keep.Save(a.use, a.sure); err != nil {
		return fmt.Errorf("save what a quota has counted: %w", err)
	}
	a.started, a.unsaved = false, false
	return nil
}

// File keeps an account in a file of the machine.
type File string

type kept struct {
	Use
	Sure bool `json:"sure"`
}

// Load is Load of Keeper. A file that a crash has cut is as none.
func (f File) Load() (Use, bool, error) {
	raw, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return Use{}, false, nil
	}
	if err != nil {
		return Use{}, false, err
	}
	use, sure := Decode(raw)
	return use, sure, nil
}

// Decode reads what Encode wrote; what a crash has cut is nothing.
func Decode(raw []byte) (use Use, sure bool) {
	var k kept
	if err := json.Unmarshal(raw, &k); err != nil || k.Bytes < 0 || k.Files < 0 {
		return Use{}, false // counted again
	}
	return k.Use, k.Sure
}

// Encode is for a Keeper: what it keeps, as text.
func Encode(use Use, sure bool) ([]byte, error) {
	raw, err := json.Marshal(kept{use, sure})
	return append(raw, '\n'), err
}

// Save is Save of Keeper. It replaces the file in one step.
func (f File) Save(use Use, sure bool) error {
	raw, err := Encode(use, sure)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(string(f)), filepath.Base(string(f))+".*.part")
	if err != nil {
		return err
	}
	_, err = temp.Write(raw)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), string(f))
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	// An old file that comes back would be relied on.
	return durable.SyncDir(filepath.Dir(string(f)))
}
