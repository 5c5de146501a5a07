package sftp3_test

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"

	"ss-setup/runtime/sftpd/sftp3"
	"ss-setup/runtime/sftpd/sftpdtest"
)

// served is a session on a folder and both ways to talk to it.
type served struct {
	dir    string
	conn   net.Conn
	done   chan error // what Serve returned
	mu     sync.Mutex
	events []sftp3.Event
}

func serve(t *testing.T, o sftp3.Options) *served {
	t.Helper()
	s := &served{dir: t.TempDir(), done: make(chan error, 1)}
	files, err := sftpdtest.NewTree(s.dir, false)
	if err != nil {
		t.Fatal(err)
	}
	o.Owner = "kim"
	o.Observe = func(e sftp3.Event) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, e)
	}
	var server net.Conn
	s.conn, server = net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.done <- sftp3.New(withQuota{files}, o).Serve(t.Context(), server)
		_ = server.Close()
	}()
	t.Cleanup(func() {
		_ = s.conn.Close()
		<-ended
		_ = files.Close()
	})
	return s
}

func (s *served) seen() []sftp3.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

func (s *served) client(t *testing.T) *sftp.Client {
	t.Helper()
	c, err := sftp.NewClientPipe(s.conn, s.conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// packet frames fields: numbers by their size, strings with their length.
func packet(kind byte, fields ...any) []byte {
	b := []byte{0, 0, 0, 0, kind}
	for _, f := range fields {
		switch v := f.(type) {
		case uint32:
			b = binary.BigEndian.AppendUint32(b, v)
		case uint64:
			b = binary.BigEndian.AppendUint64(b, v)
		case string:
			b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
			b = append(b, v...)
		case []byte:
			b = append(b, v...)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// raw talks in packets.
type raw struct {
	t *testing.T
	net.Conn
}

func (s *served) raw(t *testing.T) raw {
	t.Helper()
	r := raw{t, s.conn}
	r.send(packet(1, uint32(3)))
	if kind, _ := r.receive(); kind != 2 {
		t.Fatalf("no VERSION but %d", kind)
	}
	return r
}

func (r raw) send(b []byte) {
	r.t.Helper()
	if _, err := r.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

func (r raw) receive() (kind byte, body []byte) {
	r.t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		r.t.Fatal(err)
	}
	body = make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(r, body); err != nil {
		r.t.Fatal(err)
	}
	return body[0], body[1:]
}

// status is the code of the answer to a request.
func (r raw) status(request []byte) uint32 {
	r.t.Helper()
	r.send(request)
	kind, body := r.receive()
	if kind != 101 {
		r.t.Fatalf("no STATUS but %d", kind)
	}
	return binary.BigEndian.Uint32(body[4:])
}

// open opens a file and returns its handle as a string.
func (r raw) open(name string, flags uint32) string {
	r.t.Helper()
	r.send(packet(3, uint32(1), name, flags, uint32(0)))
	kind, body := r.receive()
	if kind != 102 {
		r.t.Fatalf("no HANDLE but %d: %q", kind, body)
	}
	return string(body[8:])
}

// reply sends an extended request and returns the body of the extended answer.
func (r raw) extended(fields ...any) []byte {
	r.t.Helper()
	r.send(packet(200, append([]any{uint32(9)}, fields...)...))
	kind, body := r.receive()
	if kind != 201 && kind != 104 {
		r.t.Fatalf("no answer but %d: %q", kind, body)
	}
	return body[4:]
}

const (
	read, write, app, create, trunc, excl = 1, 2, 4, 8, 16, 32

	ok, eof, noFile, denied, failure, bad, unsupported = 0, 1, 2, 3, 4, 5, 8
)

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAFileGoesUpAndComesDownUnchanged(t *testing.T) {
	s := serve(t, sftp3.Options{})
	c := s.client(t)
	data := make([]byte, 3<<20+17)
	_, _ = rand.Read(data)
	f, err := c.Create("/big")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadFrom(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if readFile(t, filepath.Join(s.dir, "big")) != string(data) {
		t.Error("what arrived differs")
	}
	f, err = c.Open("big")
	if err != nil {
		t.Fatal(err)
	}
	var back bytes.Buffer
	if _, err := f.WriteTo(&back); err != nil || !bytes.Equal(back.Bytes(), data) {
		t.Errorf("what came back differs: %v", err)
	}
}

func TestLimitsAreAnnouncedAndAnswered(t *testing.T) {
	s := serve(t, sftp3.Options{MaxHandles: 77})
	r := raw{t, s.conn}
	r.send(packet(1, uint32(3)))
	if _, body := r.receive(); !bytes.Contains(body, []byte("limits@openssh.com")) {
		t.Error("not announced")
	}
	got := r.extended("limits@openssh.com")
	want := []uint64{262144, 261120, 261120, 77}
	for i, w := range want {
		if v := binary.BigEndian.Uint64(got[8*i:]); v != w {
			t.Errorf("limit %d is %d, want %d", i, v, w)
		}
	}
}

func TestTheLargestReadAndWriteThatAreAnnouncedWork(t *testing.T) {
	s := serve(t, sftp3.Options{})
	r := s.raw(t)
	h := r.open("f", read|write|create)
	data := strings.Repeat("0123456789abcdef", 261120/16)
	if code := r.status(packet(6, uint32(2), h, uint64(0), data)); code != ok {
		t.Fatalf("WRITE: %d", code)
	}
	r.send(packet(5, uint32(3), h, uint64(0), uint32(math.MaxUint32)))
	if kind, body := r.receive(); kind != 103 || string(body[8:]) != data {
		t.Errorf("READ: %d with %d bytes", kind, len(body))
	}
}

func TestWhenMemoryIsShortLargeReadsAreShorterAndSmallOnesWhole(t *testing.T) {
	b := sftp3.NewBuffers(1) // one large buffer
	first, second := serve(t, sftp3.Options{Buffers: b}), serve(t, sftp3.Options{Buffers: b})
	for _, s := range []*served{first, second} {
		writeFile(t, filepath.Join(s.dir, "f"), strings.Repeat("x", 300<<10))
	}
	r1, r2 := first.raw(t), second.raw(t)
	h1, h2 := r1.open("f", read), r2.open("f", read)
	r1.send(packet(5, uint32(1), h1, uint64(0), uint32(261120)))
	time.Sleep(50 * time.Millisecond) // it holds the buffer until its client reads
	r2.send(packet(5, uint32(1), h2, uint64(0), uint32(261120)))
	if _, body := r2.receive(); len(body)-8 != 32<<10 {
		t.Errorf("%d bytes, want a small answer", len(body)-8)
	}
	if _, body := r1.receive(); len(body)-8 != 261120 {
		t.Errorf("%d bytes, want all", len(body)-8)
	}
}

func TestAnUploadIsTakenUpWhereItEnded(t *testing.T) {
	s := serve(t, sftp3.Options{})
	writeFile(t, filepath.Join(s.dir, "f"), "first half, ")
	r := s.raw(t)
	// As WinSCP: without APPEND and without TRUNC. As OpenSSH: with APPEND.
	for i, flags := range []uint32{write, write | create, write | create | app} {
		h := r.open("f", flags)
		at := uint64(12 + 4*i)
		if code := r.status(packet(6, uint32(2), h, at, "more")); code != ok {
			t.Fatalf("WRITE: %d", code)
		}
		if code := r.status(packet(4, uint32(3), h)); code != ok {
			t.Fatalf("CLOSE: %d", code)
		}
	}
	if got := readFile(t, filepath.Join(s.dir, "f")); got != "first half, moremoremore" {
		t.Errorf("the file is %q", got)
	}
}

func TestOnlyTruncateTruncates(t *testing.T) {
	s := serve(t, sftp3.Options{})
	writeFile(t, filepath.Join(s.dir, "f"), "text")
	r := s.raw(t)
	r.status(packet(4, uint32(1), r.open("f", write|create)))
	if got := readFile(t, filepath.Join(s.dir, "f")); got != "text" {
		t.Errorf("an open made it %q", got)
	}
	r.status(packet(4, uint32(1), r.open("f", write|create|trunc)))
	if got := readFile(t, filepath.Join(s.dir, "f")); got != "" {
		t.Errorf("TRUNC left %q", got)
	}
	r.send(packet(3, uint32(1), "f", uint32(write|create|excl), uint32(0)))
	if kind, _ := r.receive(); kind != 101 {
		t.Error("EXCL opened what was there")
	}
}

func TestRenameFailsOntoAFileAndPosixRenameReplacesIt(t *testing.T) {
	s := serve(t, sftp3.Options{})
	c := s.client(t)
	a, b := filepath.Join(s.dir, "a"), filepath.Join(s.dir, "b")
	writeFile(t, a, "new")
	writeFile(t, b, "old")
	if err := c.Rename("a", "b"); err == nil {
		t.Error("RENAME replaced a file")
	}
	if readFile(t, b) != "old" || readFile(t, a) != "new" {
		t.Error("a RENAME that failed changed something")
	}
	if err := c.PosixRename("a", "b"); err != nil {
		t.Error(err)
	}
	if readFile(t, b) != "new" {
		t.Error("posix-rename did not replace")
	}
}

func TestAttributesOfAHandleAreThoseOfTheOpenFile(t *testing.T) {
	s := serve(t, sftp3.Options{})
	r := s.raw(t)
	h := r.open("f", write|create)
	if code := r.status(packet(18, uint32(2), "f", "g")); code != ok {
		t.Fatalf("RENAME: %d", code)
	}
	if code := r.status(packet(6, uint32(3), h, uint64(0), "12345")); code != ok {
		t.Fatalf("WRITE: %d", code)
	}
	r.send(packet(8, uint32(4), h))
	if kind, body := r.receive(); kind != 105 || binary.BigEndian.Uint64(body[8:]) != 5 {
		t.Errorf("FSTAT: %d %x", kind, body)
	}
	if code := r.status(packet(10, uint32(5), h, uint32(1|8), uint64(3), uint32(1000), uint32(2000))); code != ok {
		t.Fatalf("FSETSTAT: %d", code)
	}
	info, err := os.Stat(filepath.Join(s.dir, "g"))
	if err != nil || info.Size() != 3 || info.ModTime().Unix() != 2000 {
		t.Errorf("after FSETSTAT: %v, %v", info, err)
	}
}

func TestOwnersAreIgnoredAndTimesAreObeyed(t *testing.T) {
	s := serve(t, sftp3.Options{})
	writeFile(t, filepath.Join(s.dir, "f"), "x")
	r := s.raw(t)
	if code := r.status(packet(9, uint32(1), "f", uint32(2), uint32(0), uint32(0))); code != ok {
		t.Errorf("SETSTAT of owners: %d", code)
	}
	if code := r.status(packet(9, uint32(1), "f", uint32(2|4|8), uint32(5), uint32(5), uint32(0o100600), uint32(1), uint32(86400))); code != ok {
		t.Errorf("SETSTAT as after an upload: %d", code)
	}
	mode := fs.FileMode(0o600)
	if runtime.GOOS == "windows" {
		mode = 0o666 // it knows only who may not write
	}
	if info, _ := os.Stat(filepath.Join(s.dir, "f")); info.ModTime().Unix() != 86400 || info.Mode().Perm() != mode {
		t.Errorf("it has %v, %s", info.ModTime(), info.Mode())
	}
}

func TestRealpathAnswersInAnEmptyHome(t *testing.T) {
	s := serve(t, sftp3.Options{})
	c := s.client(t)
	for name, want := range map[string]string{".": "/", "": "/", "a/../b": "/b", "/..": "/", "no/such": "/no/such"} {
		if got, err := c.RealPath(name); err != nil || got != want {
			t.Errorf("REALPATH %q is %q, %v", name, got, err)
		}
	}
}

func TestALongFolderIsListedInParts(t *testing.T) {
	s := serve(t, sftp3.Options{})
	for i := range 1050 {
		writeFile(t, filepath.Join(s.dir, "file"+string(rune('a'+i%26))+strings.Repeat("x", i/26)), "")
	}
	c := s.client(t)
	list, err := c.ReadDir("/")
	if err != nil || len(list) != 1050 {
		t.Errorf("%d entries, %v", len(list), err)
	}
}

func TestAListingLooksLikeThatOfLs(t *testing.T) {
	s := serve(t, sftp3.Options{Now: func() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }})
	name := filepath.Join(s.dir, "a file")
	writeFile(t, name, "12345")
	_ = os.Chtimes(name, time.Now(), time.Date(2026, 11, 3, 4, 5, 0, 0, time.UTC))
	r := s.raw(t)
	r.send(packet(11, uint32(1), "/"))
	_, body := r.receive()
	h := string(body[8:])
	r.send(packet(12, uint32(2), h))
	_, body = r.receive()
	want := "-rw-r--r--    1 kim      kim                 5 Nov  3 04:05 a file"
	if runtime.GOOS == "windows" {
		want = strings.Replace(want, "rw-r--r--", "rw-rw-rw-", 1)
	}
	if !strings.Contains(string(body), want) {
		t.Errorf("no %q in %q", want, body)
	}
}

func TestSpaceIsThatOfTheUser(t *testing.T) {
	s := serve(t, sftp3.Options{})
	space, err := s.client(t).StatVFS("/")
	if err != nil || space.TotalSpace() != 10<<30 || space.FreeSpace() != 9<<30 {
		t.Errorf("%+v, %v", space, err)
	}
}

func TestFsyncTakesAHandle(t *testing.T) {
	s := serve(t, sftp3.Options{})
	r := s.raw(t)
	h := r.open("f", write|create)
	if code := r.status(packet(200, uint32(1), "fsync@openssh.com", h)); code != ok {
		t.Errorf("fsync: %d", code)
	}
	if code := r.status(packet(200, uint32(1), "fsync@openssh.com", "none")); code != failure {
		t.Errorf("fsync of no handle: %d", code)
	}
}

func TestCheckFileMakesSumsByNameAndByHandle(t *testing.T) {
	s := serve(t, sftp3.Options{})
	text := strings.Repeat("a", 300) + strings.Repeat("b", 300)
	writeFile(t, filepath.Join(s.dir, "f"), text)
	sum := md5.Sum([]byte(text))
	r := s.raw(t)
	want := packet(0, "check-file", "md5", sum[:])[5:]
	if got := r.extended("check-file-name", "/f", "none,md5,sha1", uint64(0), uint64(0), uint32(0)); !bytes.Equal(got, want) {
		t.Errorf("by name: %q", got)
	}
	h := r.open("f", read)
	for _, request := range []string{"check-file-handle", "check-file"} {
		if got := r.extended(request, h, "md5", uint64(0), uint64(0), uint32(0)); !bytes.Equal(got, want) {
			t.Errorf("%s: %q", request, got)
		}
	}
	first, second := md5.Sum([]byte(text[:300])), md5.Sum([]byte(text[300:]))
	want = packet(0, "check-file", "md5", first[:], second[:])[5:]
	if got := r.extended("check-file", h, "md5", uint64(0), uint64(0), uint32(300)); !bytes.Equal(got, want) {
		t.Errorf("in blocks: %q", got)
	}
	for name, request := range map[string][]byte{
		"an unknown hash": packet(200, uint32(1), "check-file", h, "md4", uint64(0), uint64(0), uint32(0)),
		"tiny blocks":     packet(200, uint32(1), "check-file", h, "md5", uint64(0), uint64(0), uint32(1)),
		"behind the end":  packet(200, uint32(1), "check-file", h, "md5", uint64(601), uint64(0), uint32(0)),
	} {
		if code := r.status(request); code != failure {
			t.Errorf("%s: %d", name, code)
		}
	}
}

func TestCopyDataCopiesOnTheServer(t *testing.T) {
	s := serve(t, sftp3.Options{})
	text := strings.Repeat("copy", 50_000)
	writeFile(t, filepath.Join(s.dir, "from"), text)
	r := s.raw(t)
	from, to := r.open("from", read), r.open("to", read|write|create)
	if code := r.status(packet(200, uint32(1), "copy-data", from, uint64(4), uint64(0), to, uint64(0))); code != ok {
		t.Fatalf("copy-data: %d", code)
	}
	// A file that is copied behind itself ends all the same.
	again := r.open("to", read)
	if code := r.status(packet(200, uint32(1), "copy-data", again, uint64(0), uint64(0), to, uint64(len(text)-4))); code != ok {
		t.Fatalf("copy-data: %d", code)
	}
	if code := r.status(packet(4, uint32(1), to)); code != ok {
		t.Fatalf("CLOSE: %d", code)
	}
	if readFile(t, filepath.Join(s.dir, "to")) != text[4:]+text[4:] {
		t.Error("the copy differs")
	}
}

func TestNamesOfTheHomeAreExpanded(t *testing.T) {
	s := serve(t, sftp3.Options{})
	r := s.raw(t)
	for name, want := range map[string]string{"~": "/", "~/a": "/a", "~kim/b": "/b", "c": "/c"} {
		if got := r.extended("expand-path@openssh.com", name); !bytes.Contains(got, packet(0, want)[5:]) {
			t.Errorf("%q expands to %q", name, got)
		}
	}
	if code := r.status(packet(200, uint32(1), "expand-path@openssh.com", "~root/x")); code != failure {
		t.Errorf("another's home: %d", code)
	}
	names := r.extended("users-groups-by-id@openssh.com", "\x00\x00\x00\x00\x00\x00\x00\x07", "\x00\x00\x00\x00")
	if want := packet(0, "\x00\x00\x00\x03kim\x00\x00\x00\x00", "\x00\x00\x00\x03kim")[5:]; !bytes.Equal(names, want) {
		t.Errorf("names of numbers: %q", names)
	}
}

func TestErrorsTellTheirKindAndNoPathOfTheMachine(t *testing.T) {
	s := serve(t, sftp3.Options{})
	if err := os.Mkdir(filepath.Join(s.dir, "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(s.dir, "full/x"), "")
	r := s.raw(t)
	for name, c := range map[string]struct {
		request []byte
		code    uint32
		text    string
	}{
		"stat of nothing":    {packet(17, uint32(1), "/nix"), noFile, "no such file or folder"},
		"rmdir of a full":    {packet(15, uint32(1), "/full"), failure, "folder is not empty"},
		"remove a folder":    {packet(13, uint32(1), "/full"), failure, "is a folder"},
		"mkdir of what is":   {packet(14, uint32(1), "/full", uint32(0)), failure, "there is a file or folder of that name"},
		"open a folder":      {packet(3, uint32(1), "/full", uint32(read), uint32(0)), failure, "is a folder"},
		"a name with a nul":  {packet(17, uint32(1), "a\x00b"), noFile, "not a path of this tree"},
		"a name that climbs": {packet(17, uint32(1), "../../etc/passwd"), noFile, "not a path of this tree"},
		"a long name":        {packet(17, uint32(1), strings.Repeat("x/", 3000)), noFile, "not a path of this tree"},
		"a handle of none":   {packet(4, uint32(1), "zzzz"), failure, "no such handle"},
		"a hard link":        {packet(200, uint32(1), "hardlink@openssh.com", "a", "b"), unsupported, "not supported here"},
		"an unknown packet":  {packet(77, uint32(1)), unsupported, "not supported here"},
		"open for nothing":   {packet(3, uint32(1), "/f", uint32(0), uint32(0)), failure, "a file is opened for reading, writing or both"},
		"a huge size":        {packet(9, uint32(1), "/full/x", uint32(1), uint64(1<<63)), failure, "file would be too large"},
	} {
		r.send(c.request)
		kind, body := r.receive()
		if kind != 101 || binary.BigEndian.Uint32(body[4:]) != c.code || !bytes.Contains(body, []byte(c.text)) || bytes.Contains(body, []byte(s.dir)) {
			t.Errorf("%s: %d %q", name, kind, body)
		}
	}
}

func TestOfAWriteWithMoreBehindItsDataOnlyTheDataAreWritten(t *testing.T) {
	s := serve(t, sftp3.Options{})
	r := s.raw(t)
	h := r.open("f", write|create)
	// As rclone with an old pkg/sftp at the end of a file.
	request := packet(6, uint32(2), h, uint64(0), "data", bytes.Repeat([]byte("junk"), 20_000))
	if code := r.status(request); code != ok {
		t.Fatalf("WRITE: %d", code)
	}
	if code := r.status(packet(4, uint32(3), h)); code != ok {
		t.Fatalf("CLOSE: %d", code)
	}
	if got := readFile(t, filepath.Join(s.dir, "f")); got != "data" {
		t.Errorf("the file has %d bytes", len(got))
	}
}

func TestHandlesAreBounded(t *testing.T) {
	s := serve(t, sftp3.Options{MaxHandles: 3})
	writeFile(t, filepath.Join(s.dir, "f"), "")
	r := s.raw(t)
	var h string
	for range 3 {
		h = r.open("f", read)
	}
	for _, kind := range []byte{3, 11} {
		if code := r.status(packet(kind, uint32(1), "f", uint32(read), uint32(0))); code != failure {
			t.Errorf("one more: %d", code)
		}
	}
	r.status(packet(4, uint32(1), h))
	r.open("f", read)
}

func TestWritesAtImpossibleOffsetsChangeNothing(t *testing.T) {
	s := serve(t, sftp3.Options{})
	r := s.raw(t)
	h := r.open("f", write|create)
	for _, at := range []uint64{math.MaxUint64, math.MaxInt64, 1 << 63} {
		if code := r.status(packet(6, uint32(2), h, at, "x")); code != failure {
			t.Errorf("at %d: %d", at, code)
		}
	}
	r.status(packet(4, uint32(3), h))
	if got := readFile(t, filepath.Join(s.dir, "f")); got != "" {
		t.Errorf("it has %d bytes", len(got))
	}
	r.send(packet(5, uint32(2), r.open("f", read), uint64(math.MaxUint64), uint32(10)))
	if _, body := r.receive(); binary.BigEndian.Uint32(body[4:]) != eof {
		t.Errorf("a READ far behind the end: %x", body)
	}
}

func TestHostilePacketsEndTheSessionAndChangeNothing(t *testing.T) {
	huge := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	for name, hostile := range map[string][]byte{
		"no length":                {0, 0, 0, 0, 0},
		"a length of 4 GiB":        append(huge(math.MaxUint32), 3),
		"a long request":           append(huge(100_000), 17),
		"a second INIT":            packet(1, uint32(3)),
		"a request without number": packet(17, []byte{1, 2}),
		"a string beyond the end":  packet(17, uint32(1), uint32(500), []byte("short")),
		"a string of 4 GiB":        packet(13, uint32(1), uint32(math.MaxUint32), []byte("f")),
		"attributes cut":           packet(9, uint32(1), "f", uint32(1), []byte{0}),
		"endless extensions":       packet(14, uint32(1), "d", uint32(1<<31), uint32(math.MaxUint32)),
		"half a rename":            packet(18, uint32(1), "f"),
		"a WRITE without a head":   packet(6, uint32(1)),
		"a WRITE that lies":        packet(6, uint32(1), "\x00\x00\x00\x01", uint64(0), uint32(5), []byte("123")),
		"a WRITE with a long name": packet(6, uint32(1), strings.Repeat("h", 300), uint64(0), "data"),
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, sftp3.Options{})
			writeFile(t, filepath.Join(s.dir, "f"), "kept")
			r := s.raw(t)
			r.open("f", read|write)
			go io.Copy(io.Discard, s.conn)
			_, _ = s.conn.Write(hostile)
			select {
			case err := <-s.done:
				if !errors.Is(err, sftp3.ErrProtocol) {
					t.Errorf("the session ended with %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("the session goes on")
			}
			list, _ := filepath.Glob(filepath.Join(s.dir, "[^.]*"))
			if len(list) != 1 || readFile(t, filepath.Join(s.dir, "f")) != "kept" {
				t.Error("something changed")
			}
		})
	}
}

func TestAClientThatBeginsWithSomethingElseIsNotServed(t *testing.T) {
	s := serve(t, sftp3.Options{})
	go s.conn.Write(packet(17, uint32(1), "/"))
	if err := <-s.done; !errors.Is(err, sftp3.ErrProtocol) {
		t.Errorf("it ended with %v", err)
	}
}

func TestAFileWhoseClientWentAwayIsToldAsInterrupted(t *testing.T) {
	s := serve(t, sftp3.Options{})
	r := s.raw(t)
	h := r.open("f", write|create)
	r.status(packet(6, uint32(2), h, uint64(0), "half"))
	// The connection breaks in the middle of a packet.
	r.send(packet(6, uint32(3), h, uint64(4), strings.Repeat("x", 1000))[:500])
	_ = s.conn.Close()
	if err := <-s.done; err == nil || errors.Is(err, sftp3.ErrProtocol) {
		t.Errorf("it ended with %v", err)
	}
	events := s.seen()
	if last := events[len(events)-1]; last.Op != "upload" || !last.Interrupted || last.Written < 4 {
		t.Errorf("told: %+v", last)
	}
}

func TestWhatIsDoneIsTold(t *testing.T) {
	s := serve(t, sftp3.Options{})
	c := s.client(t)
	_ = c.Mkdir("/d")
	f, _ := c.Create("/d/f")
	_, _ = f.Write([]byte("12345"))
	_ = f.Close()
	_ = c.Rename("/d/f", "/g")
	_, _ = c.Stat("/none")
	_ = c.Remove("/g")
	var told []string
	for _, e := range s.seen() {
		line := e.Op + " " + e.Name
		if e.To != "" {
			line += " " + e.To
		}
		if errors.Is(e.Err, fs.ErrNotExist) {
			line += " missing"
		}
		told = append(told, line)
	}
	want := []string{"mkdir /d", "upload /d/f", "rename /d/f /g", "stat /none missing", "remove /g"}
	if !slices.Equal(told, want) {
		t.Errorf("told: %q", told)
	}
}

func TestAWaitingSessionHoldsNoLargeBuffer(t *testing.T) {
	// 100 sessions that have moved a megabyte each and wait now.
	buffers := sftp3.NewBuffers(1 << 20)
	for range 100 {
		s := serve(t, sftp3.Options{Buffers: buffers})
		r := s.raw(t)
		h := r.open("f", read|write|create)
		for i := range 4 {
			r.status(packet(6, uint32(2), h, uint64(i)<<18, strings.Repeat("x", 255<<10)))
			r.send(packet(5, uint32(3), h, uint64(0), uint32(255<<10)))
			r.receive()
		}
		r.status(packet(4, uint32(4), h))
	}
	if held := sftp3.Held(buffers); held > 2 {
		t.Errorf("%d chunks are held by sessions that wait", held)
	}
}

func FuzzSession(f *testing.F) {
	f.Add(packet(17, uint32(1), "/"))
	f.Add(slices.Concat(packet(3, uint32(1), "f", uint32(read|write|create), uint32(0)), packet(6, uint32(2), "\x00\x00\x00\x01", uint64(3), "data"), packet(5, uint32(2), "\x00\x00\x00\x01", uint64(0), uint32(100)), packet(4, uint32(3), "\x00\x00\x00\x01")))
	f.Add(slices.Concat(packet(11, uint32(1), "."), packet(12, uint32(2), "\x00\x00\x00\x01")))
	f.Add(packet(18, uint32(1), "a", "../b"))
	f.Add(packet(20, uint32(1), "/etc/passwd", "l"))
	f.Add(packet(9, uint32(1), "f", uint32(15), uint64(4), uint32(0), uint32(0), uint32(0o777), uint32(1), uint32(2)))
	f.Add(packet(200, uint32(1), "check-file-name", "f", "md5,sha1", uint64(0), uint64(0), uint32(256)))
	f.Add(packet(200, uint32(1), "statvfs@openssh.com", "/"))
	f.Add(packet(200, uint32(1), "posix-rename@openssh.com", "a", "b"))
	f.Add(packet(200, uint32(1), "copy-data", "\x00\x00\x00\x01", uint64(0), uint64(0), "\x00\x00\x00\x02", uint64(0)))
	f.Fuzz(func(t *testing.T, requests []byte) {
		outside := t.TempDir()
		dir := filepath.Join(outside, "home")
		_ = os.Mkdir(dir, 0o755)
		writeFile(t, filepath.Join(dir, "f"), "some text")
		files, err := sftpdtest.NewTree(dir, false)
		if err != nil {
			t.Fatal(err)
		}
		defer files.Close()
		stream := struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(slices.Concat(packet(1, uint32(3)), requests)), wellFormed{t}}
		o := sftp3.Options{MaxHandles: 4, Buffers: sftp3.NewBuffers(1)}
		_ = sftp3.New(bounded{files}, o).Serve(t.Context(), stream)
		if list, _ := os.ReadDir(outside); len(list) != 1 {
			t.Errorf("something was made outside: %v", list)
		}
	})
}

// wellFormed wants every answer to be one packet of a type that answers have.
type wellFormed struct{ t *testing.T }

func (w wellFormed) Write(b []byte) (int, error) {
	if len(b) < 9 || int(binary.BigEndian.Uint32(b)) != len(b)-4 || !slices.Contains([]byte{2, 101, 102, 103, 104, 105, 201}, b[4]) {
		w.t.Errorf("an answer of %d bytes: %.40x", len(b), b)
	}
	return len(b), nil
}
