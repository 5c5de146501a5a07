package preflight

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"ss-setup/installer/machine"
)

// fake is a machine on which everything is well, until a test changes it.
type fake struct {
	uid         int
	os, arch    string
	init        string
	holder      int
	held        bool
	links       map[string]string
	entries     map[string]fs.FileMode
	spaces      map[string]machine.Space
	filesystems map[string]machine.Filesystem
	writing     map[string]error
	planted     map[string]string
	listeners   []machine.Listener
	states      map[string]machine.ServiceState
	now         time.Time
	broken      error
}

var today = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func well() *fake {
	return &fake{
		os: "linux", arch: "amd64", init: "systemd", now: today,
		links: map[string]string{}, entries: map[string]fs.FileMode{}, spaces: map[string]machine.Space{},
		filesystems: map[string]machine.Filesystem{}, writing: map[string]error{}, states: map[string]machine.ServiceState{},
	}
}

func (f *fake) EUID() int                       { return f.uid }
func (f *fake) Platform() (goos, goarch string) { return f.os, f.arch }
func (f *fake) Now() time.Time                  { return f.now }

func (f *fake) InitSystem() (string, error) {
	if f.init == "" {
		return "", machine.ErrNoServices
	}
	return f.init, nil
}

func (f *fake) LockHolder() (int, bool, error) { return f.holder, f.held, f.broken }

func (f *fake) Lstat(path string) (fs.FileInfo, string, error) {
	if target, ok := f.links[path]; ok {
		return entry(fs.ModeSymlink), target, nil
	}
	if mode, ok := f.entries[path]; ok {
		return entry(mode), "", f.broken
	}
	return nil, "", fs.ErrNotExist
}

func (f *fake) Planted(path string) (string, error) { return f.planted[path], f.broken }

func (f *fake) Space(path string) (machine.Space, error) {
	if s, ok := f.spaces[path]; ok {
		return s, f.broken
	}
	return machine.Space{Available: 1 << 40, Root: 1 << 40, Total: 1 << 40, Inodes: 1 << 20, Dev: 1, Dir: "/"}, f.broken
}

func (f *fake) Filesystem(path string) (machine.Filesystem, error) {
	if found, ok := f.filesystems[path]; ok {
		return found, f.broken
	}
	return machine.Filesystem{Type: "overlay", MountPoint: "/", Dev: 1, Dir: "/"}, f.broken
}

func (f *fake) TryWriting(path string) (string, error) { return "/", f.writing[path] }

func (f *fake) Listeners() ([]machine.Listener, error) { return f.listeners, f.broken }

func (f *fake) Service(_ context.Context, name string) (machine.ServiceState, error) {
	return f.states[name], f.broken
}

func (f *fake) Account(name string) (int, error) {
	uid, ok := map[string]int{"root": 0, "toor": 0, "alice": 1000}[name]
	if !ok {
		return 0, fs.ErrNotExist
	}
	return uid, f.broken
}

func TestTheServerRunsAsAnAccountThatIsThereAndNeverAsRoot(t *testing.T) {
	for name, want := range map[string]string{
		"alice": "", "root": "never runs as root", "toor": "never runs as root", "nosuch": "there is no account nosuch",
		"a b": "no name", "-x": "no name", "a:b": "no name",
	} {
		in := input()
		in.Account = name
		failed := Failed(Run(t.Context(), well(), in))
		switch {
		case want == "" && len(failed) == 0:
		case len(failed) != 1 || failed[0].Cure == "" || want == "" || !strings.Contains(failed[0].Message, want):
			t.Errorf("%s: %+v", name, failed)
		}
	}
}

// entry is a file of which only the mode matters.
type entry fs.FileMode

func (e entry) Name() string       { return "" }
func (e entry) Size() int64        { return 0 }
func (e entry) Mode() fs.FileMode  { return fs.FileMode(e) }
func (e entry) ModTime() time.Time { return time.Time{} }
func (e entry) IsDir() bool        { return fs.FileMode(e).IsDir() }
func (e entry) Sys() any           { return nil }

const journal = "/var/lib/ss-setup/txn/journal"

func input() Input {
	const mib = 1 << 20
	return Input{
		OS: "linux", Arch: "amd64", NotBefore: today.Add(-24 * time.Hour), Journal: journal,
		Demands: append(Release(30*mib, 10*mib, 8*mib), Stores(200*mib, mib)...),
		Ports: []Port{
			{Service: "ss-server", Number: 6443, Flag: "--web-port"},
			{Service: "ss-licensed", Number: 2380, Loopback: true, Flag: "--license-port"},
			{Service: "SFTP", Number: 22, Flag: "--sftp-port", Optional: true},
		},
		Services: []string{"ss-server", "ss-licensed"},
	}
}

func TestAllIsWellOnAMachineThatIs(t *testing.T) {
	f := well()
	f.entries[machine.ProgramDir] = fs.ModeDir
	checks := Run(t.Context(), f, input())
	for _, c := range checks {
		if c.Status != OK || c.Cure != "" || c.Message == "" {
			t.Errorf("%+v", c)
		}
	}
	names := []string{Root, Platform, InitSystem, OtherRun, Interrupted, Clock, Links, FileSystems, Writing, DiskSpace, Ports, Masks}
	for _, name := range names {
		if !slices.ContainsFunc(checks, func(c Check) bool { return c.Name == name }) {
			t.Errorf("%s was not checked", name)
		}
	}
	if found := Failed(checks); len(found) > 0 {
		t.Errorf("failed are %+v", found)
	}
}

func listener(addr string, program string) machine.Listener {
	return machine.Listener{Addr: netip.MustParseAddrPort(addr), PID: 812, Process: "nginx", Program: program}
}

// fault is a machine on which one thing is wrong, and what is said of it.
type fault struct {
	name    string
	change  func(*fake, *Input)
	check   string
	status  Status
	message string
	cure    string
}

func faults() []fault {
	const mib = 1 << 20
	return []fault{
		{
			"not root", func(f *fake, _ *Input) { f.uid = 1000 },
			Root, Fail, "runs as user 1000", "sudo",
		},
		{
			"another architecture", func(f *fake, _ *Input) { f.arch = "arm64" },
			Platform, Fail, "for linux/amd64, this machine is linux/arm64", "package for linux/arm64",
		},
		{
			"no service manager", func(f *fake, _ *Input) { f.init = "" },
			InitSystem, Fail, "no service manager", "--root DIR",
		},
		{
			"another run", func(f *fake, _ *Input) { f.held, f.holder = true, 4711 },
			OtherRun, Fail, "process 4711", "ps -fp 4711",
		},
		{
			"another run out of sight", func(f *fake, _ *Input) { f.held = true },
			OtherRun, Fail, "another ss-setup is running", "wait",
		},
		{
			"an interrupted run", func(f *fake, _ *Input) { f.entries[journal] = 0 },
			Interrupted, Fail, journal, "ss-setup recover",
		},
		{
			"a clock that stands in the past", func(f *fake, _ *Input) { f.now = time.Unix(0, 0) },
			Clock, Fail, "1970-01-01", "timedatectl",
		},
		{
			"a link in place of the state", func(f *fake, _ *Input) { f.links[machine.SetupDir] = "/tmp/x" },
			Links, Fail, "/var/lib/ss-setup is a link to /tmp/x", "mount --bind /tmp/x /var/lib/ss-setup",
		},
		{
			"a link in place of users' files", func(f *fake, _ *Input) { f.links[machine.FilesDir] = "/data" },
			Links, Warn, "/srv/ss-server is a link to /data", "if that is meant",
		},
		{
			"a file in place of a folder", func(f *fake, _ *Input) { f.entries[machine.ConfigDir] = 0o644 },
			Links, Fail, "/etc/ss-server is there and is no folder", "mv /etc/ss-server /etc/ss-server.old",
		},
		{
			"a network file system", func(f *fake, _ *Input) {
				f.filesystems[machine.ServerStateDir] = machine.Filesystem{Type: "nfs4", Network: true, MountPoint: "/var"}
			},
			FileSystems, Fail, "/var/lib/ss-server would be on /var (nfs4)", "local disk",
		},
		{
			"a FUSE file system", func(f *fake, _ *Input) {
				f.filesystems[machine.LicensedStateDir] = machine.Filesystem{Type: "fuse.sshfs", FUSE: true, MountPoint: "/var"}
			},
			FileSystems, Fail, "FUSE", "local disk",
		},
		{
			"memory", func(f *fake, _ *Input) {
				f.filesystems[machine.SetupDir] = machine.Filesystem{Type: "tmpfs", Memory: true, MountPoint: "/var/lib"}
			},
			FileSystems, Fail, "empty after a restart", "local disk",
		},
		{
			"a disk that is read-only", func(f *fake, _ *Input) {
				f.filesystems[machine.ProgramDir] = machine.Filesystem{Type: "ext4", ReadOnly: true, MountPoint: "/opt"}
			},
			FileSystems, Fail, "read-only", "mount -o remount,rw /opt",
		},
		{
			"programs where none may run", func(f *fake, _ *Input) {
				f.filesystems[machine.ProgramDir] = machine.Filesystem{Type: "ext4", NoExec: true, MountPoint: "/opt"}
			},
			FileSystems, Fail, "noexec", "mount -o remount,exec /opt",
		},
		{
			"a disk that refuses to sync", func(f *fake, _ *Input) { f.writing[machine.SetupDir] = errors.New("input/output error") },
			Writing, Fail, "input/output error", "dmesg",
		},
		{
			"a full disk", func(f *fake, _ *Input) {
				f.spaces[machine.ServerStateDir] = machine.Space{Available: 300 * mib, Root: 900 * mib, Inodes: 1 << 20, Dev: 2, Dir: "/var"}
			},
			DiskSpace, Fail, "the disk of /var has 300 MiB free and 458 MiB are needed", "make 158 MiB more room there",
		},
		{
			"two folders on one disk that has room for each", func(f *fake, _ *Input) {
				one := machine.Space{Available: 460 * mib, Root: 460 * mib, Inodes: 1 << 20, Dev: 2, Dir: "/var"}
				f.spaces[machine.ServerStateDir], f.spaces[machine.LicensedStateDir] = one, one
			},
			DiskSpace, Fail, "two copies of the license store in /var/lib/ss-licensed", "more room",
		},
		{
			"a disk without inodes", func(f *fake, _ *Input) {
				f.spaces[machine.SetupDir] = machine.Space{Available: 1 << 40, Inodes: 3, Dev: 3, Dir: "/var/lib"}
			},
			DiskSpace, Fail, "room for 3 more files", "df -i /var/lib",
		},
		{
			"the web port taken", func(f *fake, _ *Input) {
				f.listeners = []machine.Listener{listener("0.0.0.0:6443", "/usr/sbin/nginx"), listener("0.0.0.0:6444", "/usr/sbin/nginx")}
			},
			Ports, Fail, "port 6443, which ss-server is to listen on, is taken by nginx (process 812)", "--web-port 6445",
		},
		{
			"the license port taken on any address", func(f *fake, _ *Input) {
				f.listeners = []machine.Listener{listener("[::]:2380", "/usr/bin/etcd")}
			},
			Ports, Fail, "port 2380", "--license-port 2381",
		},
		{
			"port 22 taken", func(f *fake, _ *Input) { f.listeners = []machine.Listener{listener("0.0.0.0:22", "/usr/sbin/sshd")} },
			Ports, Warn, "port 22", "--sftp-port",
		},
		{
			"a masked unit before the first install", func(f *fake, _ *Input) {
				f.states["ss-server"] = machine.ServiceState{Installed: true, Masked: true}
			},
			Masks, Fail, "ss-server is masked", "systemctl unmask ss-server",
		},
		{
			"a forbidden script", func(f *fake, _ *Input) {
				f.init = "openrc"
				f.states["ss-licensed"] = machine.ServiceState{Installed: true, Masked: true}
			},
			Masks, Fail, "ss-licensed is masked", "chmod 755 /etc/init.d/ss-licensed",
		},
		{
			"a masked unit of an installation", func(f *fake, in *Input) {
				in.Installed = true
				f.states["ss-server"] = machine.ServiceState{Installed: true, Masked: true}
			},
			Masks, Warn, "stays so", "systemctl unmask ss-server",
		},
	}
}

func TestEachFaultIsToldWithItsCure(t *testing.T) {
	for _, test := range faults() {
		t.Run(test.name, func(t *testing.T) {
			f, in := well(), input()
			test.change(f, &in)
			checks := Run(t.Context(), f, in)
			i := slices.IndexFunc(checks, func(c Check) bool { return c.Name == test.check && c.Status != OK })
			if i < 0 {
				t.Fatalf("not told; checks are %+v", checks)
			}
			if c := checks[i]; c.Status != test.status || !strings.Contains(c.Message, test.message) || !strings.Contains(c.Cure, test.cure) {
				t.Errorf("check is %+v", c)
			}
			for _, c := range checks {
				if c.Status != OK && (c.Cure == "" || c.Name != test.check) {
					t.Errorf("beside it: %+v", c)
				}
			}
		})
	}
}

func TestWhatIsNotInTheWayIsNoFault(t *testing.T) {
	own := machine.ReleasesDir + "/7.0.0-abcdef12/bin/ss-server"
	tests := map[string]func(*fake, *Input){
		"our own services listen": func(f *fake, _ *Input) {
			f.listeners = []machine.Listener{listener("[::]:6443", own), listener("127.0.0.1:2380", own)}
		},
		"the license port on another address": func(f *fake, _ *Input) {
			f.listeners = []machine.Listener{listener("10.0.0.1:2380", "/usr/bin/etcd")}
		},
		"ports of an image": func(f *fake, in *Input) {
			in.Image, f.listeners = true, []machine.Listener{listener("[::]:6443", "/x")}
		},
		"the lock is the caller's":       func(f *fake, in *Input) { in.HoldsLock, f.held = true, true },
		"room for the two on two disks":  twoDisks,
		"no journal is asked for":        func(_ *fake, in *Input) { in.Journal = "" },
		"a clock behind within a day":    func(f *fake, in *Input) { f.now = in.NotBefore.Add(-12 * time.Hour) },
		"data where programs do not run": noExecData,
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			f, in := well(), input()
			change(f, &in)
			for _, c := range Run(t.Context(), f, in) {
				if c.Status != OK {
					t.Errorf("%+v", c)
				}
			}
		})
	}
}

func twoDisks(f *fake, _ *Input) {
	f.spaces[machine.ServerStateDir] = machine.Space{Available: 460 << 20, Inodes: 1 << 20, Dev: 2, Dir: "/var"}
	f.spaces[machine.LicensedStateDir] = machine.Space{Available: 25 << 20, Inodes: 1 << 20, Dev: 3, Dir: "/var/lib/ss-licensed"}
}

func noExecData(f *fake, _ *Input) {
	f.filesystems[machine.ServerStateDir] = machine.Filesystem{Type: "ext4", NoExec: true, MountPoint: "/var"}
}

func TestWhatCannotBeCheckedWarnsOnly(t *testing.T) {
	f := well()
	f.broken = errors.New("permission denied")
	f.entries[machine.ConfigDir] = fs.ModeDir
	checks := Run(t.Context(), f, input())
	if found := Failed(checks); len(found) > 0 {
		t.Errorf("failed are %+v", found)
	}
	for _, name := range []string{OtherRun, Links, FileSystems, DiskSpace, Ports, Masks} {
		if !slices.ContainsFunc(checks, func(c Check) bool { return c.Name == name && c.Status == Warn && c.Cure != "" }) {
			t.Errorf("%s does not tell", name)
		}
	}
}

func TestWithoutRootNothingIsTriedOut(t *testing.T) {
	f := well()
	f.uid = 1000
	f.writing[machine.SetupDir] = errors.New("permission denied")
	found := Failed(Run(t.Context(), f, input()))
	if len(found) != 1 || found[0].Name != Root {
		t.Errorf("failed are %+v", found)
	}
}

func TestSizesAreForPeople(t *testing.T) {
	for bytes, want := range map[float64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 300 << 20: "300 MiB", 1 << 50: "1024 TiB"} {
		if got := size(bytes); got != want {
			t.Errorf("%v is %s", bytes, got)
		}
	}
}
