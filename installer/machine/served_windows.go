package machine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows"
)

// served are the folders below which the accounts of services make, rename and remove
// what they like, also while SYSTEM works there. A junction needs no right to be made.
var served = []string{ServerStateDir, LicensedStateDir, KeyringDir, SnapshotsDir, FilesDir, ServerLogDir}

// errInTheWay is a link where a folder was: nothing honest changes folders into links
// under an installer's feet.
var errInTheWay = errors.New("it is a link, a junction or a mounted volume, which SYSTEM does not follow; put a folder there")

// errSeveralNames is a file that lies elsewhere, too: what is written into it is written
// there.
var errSeveralNames = errors.New("it has several names, of which one may be a file of somebody else; remove it")

// at calls do with the name of path. Below a served folder all folders on the way are
// kept open meanwhile, so that nobody puts others in their place; nor links, which are
// made of empty folders only: see holdParent for the last one.
func (f *FS) at(path string, do func(name string) error) error {
	name := f.Real(path)
	for _, dir := range served {
		below, ok := strings.CutPrefix(path, dir+`\`)
		if !ok {
			continue
		}
		parents := strings.Split(below, `\`)
		release, err := hold(dir, parents[:len(parents)-1])
		if err != nil {
			return err
		}
		defer release()
	}
	return do(name)
}

// hold keeps a folder open and then one in it after the other. The users' files may be
// kept elsewhere, by a link that an administrator has made.
func hold(dir string, names []string) (release func(), err error) {
	var held []windows.Handle
	release = func() {
		for _, h := range held {
			_ = windows.CloseHandle(h)
		}
	}
	for i := range len(names) + 1 {
		if i > 0 {
			dir = filepath.Join(dir, names[i-1])
		}
		h, err := holdOne(dir, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, i == 0 && dir == FilesDir)
		if err != nil {
			release()
			return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
		}
		held = append(held, h)
	}
	return release, nil
}

// holdParent keeps also those from the folder of path who would have it open to write,
// as it takes to make a link of it while it is empty. A name that is put into it needs
// just that of Windows, so this is for what removes and writes files.
func holdParent(path string) (release func(), err error) {
	dir := filepath.Dir(path)
	for _, top := range served {
		if dir != top && !strings.HasPrefix(dir, top+`\`) {
			continue
		}
		h, err := holdOne(dir, windows.FILE_SHARE_READ, dir == FilesDir)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
		}
		return func() { _ = windows.CloseHandle(h) }, nil
	}
	return func() {}, nil
}

// holdOne opens a folder itself, not what it leads to, and lets nobody rename or remove
// it.
func holdOne(dir string, share uint32, mayLead bool) (windows.Handle, error) {
	name, err := windows.UTF16PtrFromString(longPath(dir))
	if err != nil {
		return 0, err
	}
	var h windows.Handle
	open := func() (err error) {
		h, err = windows.CreateFile(name, windows.FILE_LIST_DIRECTORY|windows.FILE_READ_ATTRIBUTES, share, nil,
			windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
		return err
	}
	if err = open(); errors.Is(err, windows.ERROR_SHARING_VIOLATION) { // somebody renames something in it just now
		err = patiently(lockedPatience, open)
	}
	if err != nil {
		return 0, err
	}
	var info windows.ByHandleFileInformation
	if err = windows.GetFileInformationByHandle(h, &info); err == nil {
		err = checkHeld(info, mayLead)
	}
	if err != nil {
		return 0, errors.Join(err, windows.CloseHandle(h))
	}
	return h, nil
}

func checkHeld(info windows.ByHandleFileInformation, mayLead bool) error {
	switch {
	case info.FileAttributes&windows.FILE_ATTRIBUTE_REPARSE_POINT != 0 && !mayLead:
		return errInTheWay
	case info.FileAttributes&(windows.FILE_ATTRIBUTE_DIRECTORY|windows.FILE_ATTRIBUTE_REPARSE_POINT) == 0:
		return windows.ERROR_DIRECTORY
	}
	return nil
}

// openFile opens a file. What has another name as well is opened to read alone: everybody
// may give another name to a file that belongs to the system. It is emptied when that is
// known.
func openFile(name, _ string, flag int, mode fs.FileMode) (*os.File, error) {
	if flag&(os.O_WRONLY|os.O_RDWR) == 0 {
		return os.OpenFile(name, flag|noFollow, mode)
	}
	release, err := holdParent(name)
	if err != nil {
		return nil, err
	}
	defer release()
	f, err := os.OpenFile(name, flag&^os.O_TRUNC|noFollow, mode)
	if err != nil {
		return nil, err
	}
	var info windows.ByHandleFileInformation
	err = windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &info)
	if err == nil && info.NumberOfLinks > 1 {
		err = errSeveralNames
	}
	if err == nil && flag&os.O_TRUNC != 0 {
		err = f.Truncate(0)
	}
	if err != nil {
		return nil, errors.Join(&fs.PathError{Op: "open", Path: name, Err: err}, f.Close())
	}
	return f, nil
}
