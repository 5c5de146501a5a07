package machine

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const mountinfo = `21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
22 21 0:20 / /proc rw,nosuid,nodev,noexec - proc proc rw
30 21 8:2 / /opt rw,noexec - xfs /dev/sdb1 rw,attr2
31 30 0:40 / /opt/ss-server ro,relatime shared:2 master:3 - nfs4 host:/export rw,vers=4.2
32 21 0:41 / /srv/with\040space rw - fuse.sshfs user@host: rw,user_id=0
33 21 0:42 / /opt rw - overlay overlay rw,lowerdir=/a,upperdir=/b
`

func TestMountOfAPathIsTheLastOfTheLongestAbove(t *testing.T) {
	tests := []struct {
		path, point, kind string
		id                uint64
	}{
		{path: "/etc/passwd", point: "/", kind: "ext4"},
		{path: "/", point: "/", kind: "ext4"},
		{path: "/opt", point: "/opt", kind: "overlay"},
		{path: "/optional", point: "/", kind: "ext4"},
		{path: "/opt/ss-server/releases", point: "/opt/ss-server", kind: "nfs4"},
		{path: "/srv/with space/x", point: "/srv/with space", kind: "fuse.sshfs"},
		{path: "/opt", id: 30, point: "/opt", kind: "xfs"},
	}
	for _, test := range tests {
		got, err := findMount(strings.NewReader(mountinfo), test.path, test.id)
		if err != nil || got.point != test.point || got.kind != test.kind {
			t.Errorf("%s: %+v, %v", test.path, got, err)
		}
	}
	nfs, err := findMount(strings.NewReader(mountinfo), "/opt/ss-server", 0)
	if err != nil || !nfs.has("ro") || nfs.has("noexec") {
		t.Errorf("options are %q, %v", nfs.options, err)
	}
	for _, text := range []string{"", "21 1 8:1 / /\n", "x 1 8:1 / / rw - ext4 /dev/sda1 rw\n"} {
		if _, err := findMount(strings.NewReader(text), "/", 0); err == nil {
			t.Errorf("%q was understood", text)
		}
	}
}

func FuzzMount(f *testing.F) {
	for line := range strings.Lines(mountinfo) {
		f.Add(strings.TrimSuffix(line, "\n"))
	}
	f.Fuzz(func(t *testing.T, line string) {
		m, err := parseMount(line)
		if err == nil && (m.kind == "" || m.point == "") {
			t.Fatalf("%q is %+v", line, m)
		}
	})
}

func TestSpaceAndFileSystemOfWhatIsNotThereYetAreThoseOfItsParent(t *testing.T) {
	f := image(t, map[string]string{"/var/": ""})
	here, err := SpaceAt(f, "/var")
	check(t, err)
	below, err := SpaceAt(f, "/var/lib/ss-server/3/store.db")
	check(t, err)
	if below.Dir != f.Real("/var") || below.Dev != here.Dev {
		t.Errorf("below is %+v, here %+v", below, here)
	}
	if here.Available == 0 || here.Available > here.Root || here.Root > here.Total || here.Inodes == 0 {
		t.Errorf("space is %+v", here)
	}
	found, err := FilesystemAt(f, "/var/lib/ss-server")
	check(t, err)
	if found.Type == "" || found.MountPoint == "" || found.Dev != here.Dev || found.Dir != f.Real("/var") {
		t.Errorf("file system is %+v", found)
	}
}

func TestMemoryIsKnownForWhatItIs(t *testing.T) {
	found, err := FilesystemAt(&FS{}, "/dev/shm")
	check(t, err)
	if found.Type == "tmpfs" && (!found.Memory || found.Sound()) {
		t.Errorf("tmpfs is %+v", found)
	}
	proc, err := FilesystemAt(&FS{}, "/proc/self")
	if err != nil || proc.Type != "proc" {
		t.Errorf("proc is %+v, %v", proc, err)
	}
}

func TestClockIsBehindOnlyByMoreThanAZone(t *testing.T) {
	known := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for offset, want := range map[time.Duration]bool{-48 * time.Hour: true, -14 * time.Hour: false, 0: false, 9999 * time.Hour: false} {
		if got := ClockBehind(known.Add(offset), known); got != want {
			t.Errorf("%v: %v", offset, got)
		}
	}
	if ClockBehind(time.Time{}, time.Time{}) {
		t.Error("without a known time nothing is behind")
	}
}

func TestLockHolderIsTold(t *testing.T) {
	f := image(t, map[string]string{"/run/": ""})
	if _, held, err := LockHolder(f, LockFile); held || err != nil {
		t.Fatalf("without a file: held %v, %v", held, err)
	}
	h, err := os.Create(f.Real(LockFile))
	check(t, err)
	defer h.Close()
	if _, held, err := LockHolder(f, LockFile); held || err != nil {
		t.Fatalf("without a holder: held %v, %v", held, err)
	}
	check(t, unix.Flock(int(h.Fd()), unix.LOCK_EX))
	pid, held, err := LockHolder(f, LockFile)
	if !held || err != nil || pid != os.Getpid() && pid != 0 {
		t.Errorf("held %v by %d, %v", held, pid, err)
	}
	table := "1: POSIX  ADVISORY  WRITE 7 00:1a:42 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 8 00:1a:42 0 EOF\n2: FLOCK  ADVISORY  WRITE 812 00:1a:42 0 EOF\n"
	if got := holder(table, 42); got != 812 {
		t.Errorf("the holder is %d", got)
	}
	if got := holder(table, 2); got != 0 {
		t.Errorf("the holder of another inode is %d", got)
	}
}

func TestSELinuxLabelsAreRestoredOnlyWhereItIsOn(t *testing.T) {
	var ran []string
	enforce := selinuxFile
	defer func() { selinuxFile = enforce }()
	selinuxFile = t.TempDir() + "/enforce"
	runner := recordingRunner(&ran)
	check(t, RestoreContext(t.Context(), runner, "/opt/ss-server"))
	if len(ran) > 0 {
		t.Fatalf("it ran %q", ran)
	}
	check(t, os.WriteFile(selinuxFile, []byte("1"), 0o644))
	check(t, RestoreContext(t.Context(), runner, "/opt/ss-server", "/etc/ss-server"))
	if want := []string{"restorecon -R -- /opt/ss-server /etc/ss-server"}; !slices.Equal(ran, want) {
		t.Errorf("it ran %q", ran)
	}
	check(t, RestoreContext(t.Context(), runner))
	if len(ran) != 1 {
		t.Errorf("it ran %q", ran)
	}
}
