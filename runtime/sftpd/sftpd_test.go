package sftpd_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"ss-setup/runtime/protector"
	"ss-setup/runtime/sftpd"
	"ss-setup/runtime/sftpd/sftpdtest"
	"ss-setup/runtime/vfs"
)

// site is a site with the user kim, whose password is "secret" and whose key is key.
type site struct {
	*sftpd.Site
	addr     string
	accounts *sftpdtest.Accounts
	key      ssh.Signer
	files    vfs.FS

	mu     sync.Mutex
	events []sftpd.Event
}

func start(t *testing.T, c sftpd.Config, change func(*sftpdtest.User, *sftpd.Parts)) *site {
	t.Helper()
	s := &site{key: sftpdtest.NewKey(t)}
	files, err := sftpdtest.NewTree(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	s.files = files
	kim := &sftpdtest.User{Password: "secret", Keys: []ssh.PublicKey{s.key.PublicKey()}, FS: files}
	parts := sftpd.Parts{Events: func(e sftpd.Event) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, e)
	}}
	if change != nil {
		change(kim, &parts)
	}
	s.accounts = sftpdtest.NewAccounts(map[string]*sftpdtest.User{"kim": kim})
	parts.Accounts = s.accounts
	s.Site, s.addr = sftpdtest.Start(t, c, parts)
	return s
}

func (s *site) seen(kind sftpd.Kind) []sftpd.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []sftpd.Event
	for _, e := range s.events {
		if e.Kind == kind {
			list = append(list, e)
		}
	}
	return list
}

// dial logs in and closes at the end of the test.
func (s *site) dial(t *testing.T, change func(*ssh.ClientConfig)) (*ssh.Client, error) {
	t.Helper()
	c := &ssh.ClientConfig{
		User: "kim", Auth: []ssh.AuthMethod{ssh.Password("secret")},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 20 * time.Second,
	}
	if change != nil {
		change(c)
	}
	client, err := ssh.Dial("tcp", s.addr, c)
	if err == nil {
		t.Cleanup(func() { _ = client.Close() })
	}
	return client, err
}

func (s *site) mustDial(t *testing.T, change func(*ssh.ClientConfig)) *ssh.Client {
	t.Helper()
	c, err := s.dial(t, change)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *site) sftp(t *testing.T, change func(*ssh.ClientConfig)) *sftp.Client {
	t.Helper()
	c, err := sftp.NewClient(s.mustDial(t, change))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func auth(methods ...ssh.AuthMethod) func(*ssh.ClientConfig) {
	return func(c *ssh.ClientConfig) { c.Auth = methods }
}

// answers gives the answers to questions, in order, and notes the questions.
func answers(asked *[]string, list ...string) ssh.AuthMethod {
	return ssh.KeyboardInteractive(func(_, instruction string, questions []string, _ []bool) ([]string, error) {
		if instruction != "" && asked != nil {
			*asked = append(*asked, instruction)
		}
		var now []string
		for _, q := range questions {
			if asked != nil {
				*asked = append(*asked, q)
			}
			if len(list) == 0 {
				return nil, errors.New("a question too many: " + q)
			}
			now, list = append(now, list[0]), list[1:]
		}
		return now, nil
	})
}

// eventually waits for what a server does after its client has gone on.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not so: " + what)
		}
	}
}

func TestAUserLogsInByPasswordKeyOrQuestions(t *testing.T) {
	s := start(t, sftpd.Config{}, nil)
	for name, method := range map[string]ssh.AuthMethod{
		"password": ssh.Password("secret"), "key": ssh.PublicKeys(s.key), "questions": answers(nil, "secret"),
	} {
		c := s.sftp(t, auth(method))
		if wd, err := c.Getwd(); wd != "/" || err != nil {
			t.Errorf("%s: %q, %v", name, wd, err)
		}
	}
}

func TestAStrangerIsNotLetIn(t *testing.T) {
	s := start(t, sftpd.Config{}, nil)
	for name, change := range map[string]func(*ssh.ClientConfig){
		"wrong password": auth(ssh.Password("guess")),
		"no password":    auth(ssh.Password("")),
		"another's key":  auth(ssh.PublicKeys(sftpdtest.NewKey(t))),
		"wrong answer":   auth(answers(nil, "guess")),
		"nobody":         func(c *ssh.ClientConfig) { c.User = "nobody" },
		"no method":      auth(),
	} {
		if _, err := s.dial(t, change); err == nil {
			t.Errorf("%s: let in", name)
		}
	}
	s.accounts.Change("kim", func(u *sftpdtest.User) { u.Disabled = true })
	for _, method := range []ssh.AuthMethod{ssh.Password("secret"), ssh.PublicKeys(s.key), answers(nil, "secret")} {
		if _, err := s.dial(t, auth(method)); err == nil {
			t.Error("a disabled user is let in")
		}
	}
	if n := len(s.Sessions()); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

func TestSeveralMethodsAreAskedInTheirOrder(t *testing.T) {
	s := start(t, sftpd.Config{}, func(u *sftpdtest.User, _ *sftpd.Parts) {
		u.Code = "123456"
		u.Ways = [][]sftpd.Step{{sftpd.StepKey, sftpd.StepPassword, sftpd.StepCode}}
	})
	key, password := ssh.PublicKeys(s.key), ssh.Password("secret")
	s.mustDial(t, auth(key, password, answers(nil, "123456")))
	s.mustDial(t, auth(key, answers(nil, "secret", "123456")))
	for name, methods := range map[string][]ssh.AuthMethod{
		"the key alone":        {key},
		"the password alone":   {password},
		"key and password":     {key, password},
		"key and code":         {key, answers(nil, "123456")},
		"password and code":    {password, answers(nil, "123456")},
		"a wrong code":         {key, password, answers(nil, "000000")},
		"a wrong password":     {key, ssh.Password("guess"), answers(nil, "123456")},
		"another's key":        {ssh.PublicKeys(sftpdtest.NewKey(t)), password, answers(nil, "123456")},
		"questions in a row":   {answers(nil, "secret", "123456")},
		"the code as password": {key, ssh.Password("123456")},
	} {
		if _, err := s.dial(t, auth(methods...)); err == nil {
			t.Errorf("%s: let in", name)
		}
	}
	if got := s.seen(sftpd.LoggedIn)[0].Methods; !slices.Equal(got, []sftpd.Step{sftpd.StepKey, sftpd.StepPassword, sftpd.StepCode}) {
		t.Errorf("told as %v", got)
	}
}

func TestAPasswordThatMustBeChangedIsChangedAtTheLogIn(t *testing.T) {
	s := start(t, sftpd.Config{}, func(u *sftpdtest.User, _ *sftpd.Parts) { u.MustChange = true })
	if _, err := s.dial(t, nil); err == nil {
		t.Fatal("let in without a new password")
	}
	var asked []string
	s.mustDial(t, auth(ssh.Password("secret"), answers(&asked, "short", "short", "one of them", "the other", "long enough", "long enough")))
	text := strings.Join(asked, "|")
	for _, want := range []string{"must be changed", "too short", "not the same"} {
		if !strings.Contains(text, want) {
			t.Errorf("no word of %q in %q", want, text)
		}
	}
	if _, err := s.dial(t, nil); err == nil {
		t.Error("the old password still works")
	}
	s.mustDial(t, auth(ssh.Password("long enough")))
}

func TestNothingButSFTPIsServed(t *testing.T) {
	s := start(t, sftpd.Config{}, nil)
	c := s.mustDial(t, nil)
	session, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Run("id"); err == nil {
		t.Error("a command was run")
	}
	if session, err = c.NewSession(); err != nil {
		t.Fatal(err)
	}
	if session.Shell() == nil {
		t.Error("a shell was opened")
	}
	if _, err := c.Dial("tcp", "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "SFTP only") {
		t.Errorf("a forwarding: %v", err)
	}
	if _, err := c.Listen("tcp", "127.0.0.1:0"); err == nil {
		t.Error("a forwarding back was opened")
	}
	if _, err := sftp.NewClient(c); err != nil { // and SFTP still works
		t.Error(err)
	}
}

func TestASubsystemRequestThatLiesEndsNothingElse(t *testing.T) {
	s := start(t, sftpd.Config{}, nil)
	c := s.mustDial(t, nil)
	ch, requests, err := c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(requests)
	for _, payload := range [][]byte{nil, {0}, {0, 0, 0}, {255, 255, 255, 255}, {0, 0, 0, 9, 's'}} {
		if done, err := ch.SendRequest("subsystem", true, payload); done || err != nil {
			t.Errorf("payload %x: %v, %v", payload, done, err)
		}
	}
	if _, err := sftp.NewClient(c); err != nil {
		t.Error(err)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	s := start(t, sftpd.Config{Limits: sftpd.Limits{PerUser: 2, Connections: 4}}, nil)
	first := s.mustDial(t, nil)
	s.mustDial(t, nil)
	if c, err := s.dial(t, nil); err == nil {
		if _, err := sftp.NewClient(c); err == nil {
			t.Error("a third session of a user")
		}
	}
	_ = first.Close()
	eventually(t, "the place is free again", func() bool { return len(s.Sessions()) == 1 })
	s.mustDial(t, nil)
	for range 5 {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if _, err := s.dial(t, nil); err == nil {
		t.Error("more connections than the site takes")
	}
}

func TestOneAddressIsBounded(t *testing.T) {
	s := start(t, sftpd.Config{Limits: sftpd.Limits{PerAddress: 1}}, nil)
	s.mustDial(t, nil)
	if _, err := s.dial(t, nil); err == nil {
		t.Error("a second connection of the address")
	}
}

func TestALogInThatTakesTooLongIsCut(t *testing.T) {
	s := start(t, sftpd.Config{Limits: sftpd.Limits{Login: 200 * time.Millisecond}}, nil)
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("the connection stays: %v", err)
	}
}

func TestAnIdleSessionEndsAndABusyOneDoesNot(t *testing.T) {
	s := start(t, sftpd.Config{Limits: sftpd.Limits{Idle: time.Second}}, nil)
	busy, idle := s.sftp(t, nil), s.sftp(t, nil)
	for range 15 {
		if _, err := busy.Stat("/"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if _, err := idle.Stat("/"); err == nil {
		t.Error("the idle session goes on")
	}
	eventually(t, "its end is told", func() bool {
		out := s.seen(sftpd.LoggedOut)
		return len(out) == 1 && strings.Contains(out[0].Reason, "idle")
	})
}

func TestSessionsAreListedAndKicked(t *testing.T) {
	s := start(t, sftpd.Config{}, nil)
	c := s.sftp(t, func(c *ssh.ClientConfig) {
		c.ClientVersion = "SSH-2.0-Tester"
		c.Auth = []ssh.AuthMethod{ssh.PublicKeys(s.key)}
	})
	other := s.sftp(t, nil)
	f, err := c.Create("/upload")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.Write([]byte("12345"))
	list := s.Sessions()
	if len(list) != 2 {
		t.Fatalf("%d sessions", len(list))
	}
	got := list[0]
	if got.User != "kim" || got.Client != "SSH-2.0-Tester" || got.Key != ssh.FingerprintSHA256(s.key.PublicKey()) || got.Addr.Addr() != netip.MustParseAddr("127.0.0.1") ||
		len(got.Transfers) != 1 || got.Transfers[0].Name != "/upload" || got.Transfers[0].Written != 5 || got.Received == 0 {
		t.Errorf("listed as %+v", got)
	}
	if n := s.Kick("the key was removed", func(x sftpd.Session) bool { return x.Key == got.Key }); n != 1 {
		t.Errorf("%d kicked", n)
	}
	if _, err := f.Write([]byte("more")); err == nil {
		t.Error("the kicked session goes on")
	}
	if _, err := other.Stat("/"); err != nil {
		t.Errorf("the other ended: %v", err)
	}
	eventually(t, "its end is told", func() bool {
		out := s.seen(sftpd.LoggedOut)
		return len(out) == 1 && out[0].Reason == "the key was removed"
	})
}

func TestSessionsOfAUserWhoMayNoLongerBeEnd(t *testing.T) {
	s := start(t, sftpd.Config{}, nil)
	c := s.sftp(t, nil)
	if n := s.Recheck(t.Context(), nil); n != 0 {
		t.Errorf("%d ended without a reason", n)
	}
	s.accounts.Change("kim", func(u *sftpdtest.User) { u.Disabled = true })
	if n := s.Recheck(t.Context(), nil); n != 1 {
		t.Errorf("%d ended", n)
	}
	if _, err := c.Stat("/"); err == nil {
		t.Error("the session goes on")
	}
}

func TestAChangedConfigurationHoldsForWhoeverComesNext(t *testing.T) {
	s := start(t, sftpd.Config{}, nil)
	c := s.sftp(t, nil)
	key := sftpdtest.NewKey(t)
	err := s.Configure(sftpd.Config{
		HostKeys: []ssh.Signer{key}, SoftwareID: "Other_1", Limits: sftpd.Limits{Connections: 2},
		Algorithms: sftpd.Algorithms{Ciphers: []string{ssh.CipherAES256GCM}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Stat("/"); err != nil {
		t.Errorf("the running session ended: %v", err)
	}
	var seen ssh.PublicKey
	second := s.mustDial(t, func(c *ssh.ClientConfig) {
		c.HostKeyCallback = func(_ string, _ net.Addr, key ssh.PublicKey) error {
			seen = key
			return nil
		}
	})
	if string(second.ServerVersion()) != "SSH-2.0-Other_1" || !bytes.Equal(seen.Marshal(), key.PublicKey().Marshal()) {
		t.Errorf("%s shows itself with %s", second.ServerVersion(), ssh.FingerprintSHA256(seen))
	}
	// A client knows that it is in before the server counts it.
	eventually(t, "there are two sessions", func() bool { return len(s.Sessions()) == 2 })
	if list := s.Sessions(); len(list) != 2 || list[1].Cipher != ssh.CipherAES256GCM {
		t.Errorf("sessions %+v", list)
	}
	if _, err := s.dial(t, nil); err == nil {
		t.Error("a third connection was served")
	}
	if err := s.Configure(sftpd.Config{Algorithms: sftpd.Algorithms{Ciphers: []string{"rot13"}}}); err == nil {
		t.Error("a cipher that nobody knows was taken")
	}
}

func TestAListenerThatIsClosedLeavesItsSessions(t *testing.T) {
	s := start(t, sftpd.Config{}, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(l)
	c := s.sftp(t, nil)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is no longer listed", func() bool { return len(s.Addrs()) == 1 })
	if _, err := c.Stat("/"); err != nil {
		t.Error(err)
	}
}

func TestARecheckMayChangeASessionInsteadOfEndingIt(t *testing.T) {
	var mu sync.Mutex
	may := error(nil)
	asked := 0
	s := start(t, sftpd.Config{}, func(u *sftpdtest.User, _ *sftpd.Parts) {
		u.Recheck = func(context.Context) (sftpd.Account, error) {
			mu.Lock()
			defer mu.Unlock()
			asked++
			return sftpd.Account{Name: "kim"}, may
		}
	})
	c := s.sftp(t, nil)
	mu.Lock()
	if asked != 1 {
		t.Errorf("asked %d times at the log-in", asked)
	}
	mu.Unlock()
	nobody := func(sftpd.Session) bool { return false }
	if s.Recheck(t.Context(), nobody) != 0 || s.Recheck(t.Context(), nil) != 0 {
		t.Error("it ended")
	}
	mu.Lock()
	may = errors.New("gone")
	mu.Unlock()
	if s.Recheck(t.Context(), nobody) != 0 || s.Recheck(t.Context(), nil) != 1 {
		t.Error("it goes on")
	}
	if _, err := c.Stat("/"); err == nil {
		t.Error("the session goes on")
	}
	if _, err := s.dial(t, nil); err != nil {
		return
	}
	eventually(t, "a change between log-in and session is seen", func() bool { return len(s.Sessions()) == 0 })
}

// upload writes in small steps until told to end, or the connection breaks.
func upload(f *sftp.File, end <-chan struct{}) error {
	for {
		select {
		case <-end:
			return f.Close()
		case <-time.After(10 * time.Millisecond):
			if _, err := f.Write([]byte("more ")); err != nil {
				return err
			}
		}
	}
}

func TestAStopLetsARunningTransferEndAndTakesLogInsMeanwhile(t *testing.T) {
	s := start(t, sftpd.Config{}, nil)
	f, err := s.sftp(t, nil).Create("/f")
	if err != nil {
		t.Fatal(err)
	}
	end, done, stopped := make(chan struct{}), make(chan error, 1), make(chan struct{})
	go func() { done <- upload(f, end) }()
	go func() { s.Stop(context.Background()); close(stopped) }()
	time.Sleep(300 * time.Millisecond)
	s.sftp(t, nil) // logs in
	select {
	case <-stopped:
		t.Fatal("the stop did not wait")
	default:
	}
	close(end)
	if err := <-done; err != nil {
		t.Errorf("the transfer was cut: %v", err)
	}
	<-stopped
	if _, err := net.DialTimeout("tcp", s.addr, time.Second); err == nil {
		t.Error("it still listens")
	}
}

func TestAStopCutsATransferThatTakesTooLongAndKeepsWhatArrived(t *testing.T) {
	s := start(t, sftpd.Config{Limits: sftpd.Limits{Drain: 300 * time.Millisecond}}, nil)
	f, err := s.sftp(t, nil).Create("/f")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- upload(f, nil) }()
	time.Sleep(100 * time.Millisecond)
	s.Stop(context.Background())
	if <-done == nil {
		t.Error("the transfer went on")
	}
	name, _ := vfs.Parse("/f", vfs.HostRules())
	kept, err := s.files.Open(name, vfs.Read, 0)
	if err != nil {
		t.Fatalf("nothing is kept for a resume: %v", err)
	}
	defer kept.Close()
	start := make([]byte, 10)
	if _, err := kept.ReadAt(start, 0); err != nil || string(start) != "more more " {
		t.Errorf("kept: %q, %v", start, err)
	}
}

func TestAnIdleSessionDoesNotHoldUpAStop(t *testing.T) {
	s := start(t, sftpd.Config{}, nil)
	c := s.sftp(t, nil)
	if _, err := c.ReadDir("/"); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	s.Stop(context.Background())
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestSpeedIsLimitedForAllSessionsOfAUserTogether(t *testing.T) {
	s := start(t, sftpd.Config{}, func(u *sftpdtest.User, _ *sftpd.Parts) { u.Up = 512 << 10 })
	began := time.Now()
	var wg sync.WaitGroup
	for i := range 2 {
		c := s.sftp(t, nil)
		wg.Go(func() {
			f, err := c.Create(fmt.Sprintf("/f%d", i))
			if err == nil {
				_, err = f.ReadFrom(bytes.NewReader(make([]byte, 512<<10)))
				err = errors.Join(err, f.Close())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(began); took < 1500*time.Millisecond {
		t.Errorf("1 MiB at 512 KiB a second took %s", took)
	}
}

func TestModernAlgorithmsAreTheDefault(t *testing.T) {
	s := start(t, sftpd.Config{}, nil)
	weak := ssh.InsecureAlgorithms()
	for name, change := range map[string]func(*ssh.ClientConfig){
		"key exchange": func(c *ssh.ClientConfig) { c.KeyExchanges = weak.KeyExchanges },
		"cipher":       func(c *ssh.ClientConfig) { c.Ciphers = weak.Ciphers },
		"MAC": func(c *ssh.ClientConfig) {
			c.MACs, c.Ciphers = []string{ssh.HMACSHA1, ssh.InsecureHMACSHA196}, []string{ssh.CipherAES128CTR}
		},
	} {
		if _, err := s.dial(t, change); err == nil {
			t.Errorf("a weak %s was agreed on", name)
		}
	}
	if w := s.Weak(); len(w) != 0 {
		t.Errorf("switched on: %v", w)
	}
}

func TestEachDroppedAlgorithmCanBeSwitchedOnAndNamesWhoNeedsIt(t *testing.T) {
	weak := ssh.InsecureAlgorithms()
	try := func(name string, a sftpd.Algorithms, change func(*ssh.ClientConfig)) {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			s := start(t, sftpd.Config{Algorithms: a}, func(_ *sftpdtest.User, p *sftpd.Parts) {
				p.Log = slog.New(slog.NewTextHandler(&log, nil))
			})
			s.mustDial(t, func(c *ssh.ClientConfig) { c.ClientVersion = "SSH-2.0-Antique"; change(c) })
			eventually(t, "the need is told", func() bool { return len(s.Needs()) == 1 })
			if n := s.Needs()[0]; n.Algorithm != name || n.User != "kim" || n.Client != "SSH-2.0-Antique" || !n.Allowed || n.Times != 1 {
				t.Errorf("told as %+v", n)
			}
			if !slices.Contains(s.Weak(), name) {
				t.Errorf("switched on: %v", s.Weak())
			}
		})
	}
	for _, name := range weak.KeyExchanges {
		if name == ssh.InsecureKeyExchangeDHGEXSHA1 {
			continue // the library has it for clients alone
		}
		try(name, sftpd.Algorithms{KeyExchanges: []string{name}}, func(c *ssh.ClientConfig) { c.KeyExchanges = []string{name} })
	}
	for _, name := range weak.Ciphers {
		try(name, sftpd.Algorithms{Ciphers: []string{name}}, func(c *ssh.ClientConfig) { c.Ciphers = []string{name} })
	}
	for _, name := range []string{ssh.HMACSHA1, ssh.InsecureHMACSHA196} {
		try(name, sftpd.Algorithms{MACs: []string{name}}, func(c *ssh.ClientConfig) {
			c.MACs, c.Ciphers = []string{name}, []string{ssh.CipherAES128CTR}
		})
	}
}

// sha1Key is an RSA key that signs with SHA-1 alone, as old clients do.
func sha1Key(t *testing.T) ssh.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	old, err := ssh.NewSignerWithAlgorithms(signer.(ssh.AlgorithmSigner), []string{ssh.KeyAlgoRSA})
	if err != nil {
		t.Fatal(err)
	}
	return old
}

func TestUsersWhoSignWithSHA1AreNamedWhetherTheyMayOrNot(t *testing.T) {
	key := sha1Key(t)
	for _, allowed := range []bool{false, true} {
		c := sftpd.Config{}
		if allowed {
			c.Algorithms.UserKeys = append(sftpd.Modern().UserKeys, ssh.KeyAlgoRSA)
		}
		s := start(t, c, func(u *sftpdtest.User, _ *sftpd.Parts) { u.Keys = append(u.Keys, key.PublicKey()) })
		if _, err := s.dial(t, auth(ssh.PublicKeys(key))); (err == nil) != allowed {
			t.Errorf("allowed %v: %v", allowed, err)
		}
		eventually(t, "the need is told", func() bool { return len(s.Needs()) == 1 })
		if n := s.Needs()[0]; n.Algorithm != "ssh-rsa" || n.User != "kim" || n.Allowed != allowed {
			t.Errorf("told as %+v", n)
		}
	}
}

func TestAClientWithNothingButWeakAlgorithmsIsNamed(t *testing.T) {
	s := start(t, sftpd.Config{}, nil)
	_, err := s.dial(t, func(c *ssh.ClientConfig) {
		c.ClientVersion, c.Ciphers = "SSH-2.0-Antique", []string{ssh.InsecureCipherAES128CBC}
	})
	if err == nil {
		t.Fatal("let in")
	}
	eventually(t, "the need is told", func() bool { return len(s.Needs()) == 1 })
	if n := s.Needs()[0]; n.Algorithm != "aes128-cbc" || n.Client != "SSH-2.0-Antique" || n.Allowed {
		t.Errorf("told as %+v", n)
	}
}

func TestAnAlgorithmThatIsNotKnownIsRefusedByName(t *testing.T) {
	_, err := sftpd.New(sftpd.Config{Name: "x", HostKeys: []ssh.Signer{sftpdtest.NewKey(t)}, Algorithms: sftpd.Algorithms{Ciphers: []string{"rot13"}}}, sftpd.Parts{})
	if err == nil || !strings.Contains(err.Error(), "rot13") || !strings.Contains(err.Error(), "aes128-ctr") {
		t.Errorf("said %v", err)
	}
	_, err = sftpd.New(sftpd.Config{Name: "x"}, sftpd.Parts{})
	if err == nil || !strings.Contains(err.Error(), "host key") {
		t.Errorf("without keys: %v", err)
	}
}

func TestNewKeysAreMadeInTheMiddleOfATransfer(t *testing.T) {
	s := start(t, sftpd.Config{Rekey: 256 << 10}, nil)
	c := s.sftp(t, func(c *ssh.ClientConfig) { c.RekeyThreshold = 300 << 10 })
	data := make([]byte, 8<<20)
	_, _ = rand.Read(data)
	f, err := c.Create("/f")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadFrom(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if f, err = c.Open("/f"); err != nil {
		t.Fatal(err)
	}
	var back bytes.Buffer
	if _, err := f.WriteTo(&back); err != nil || !bytes.Equal(back.Bytes(), data) {
		t.Errorf("what came back differs: %v", err)
	}
}

func newProtector(t *testing.T, entries ...protector.Entry) *protector.Protector {
	t.Helper()
	p, err := protector.New(protector.Options{Settings: protector.Defaults(), Entries: entries})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func guarded(p *protector.Protector) func(*sftpdtest.User, *sftpd.Parts) {
	return func(_ *sftpdtest.User, parts *sftpd.Parts) { parts.Protector = p }
}

var loopback = netip.MustParseAddr("127.0.0.1")

func TestAScannerIsBanned(t *testing.T) {
	for name, visit := range map[string]func(t *testing.T, s *site){
		"guesses passwords": func(t *testing.T, s *site) {
			for _, user := range []string{"root", "admin", "kim"} {
				guesses := 0
				_, _ = s.dial(t, func(c *ssh.ClientConfig) {
					c.User = user
					c.Auth = []ssh.AuthMethod{ssh.RetryableAuthMethod(ssh.PasswordCallback(func() (string, error) {
						guesses++
						return fmt.Sprint("guess", guesses), nil
					}), 5)}
				})
			}
		},
		"tries keys": func(t *testing.T, s *site) {
			for range 10 {
				_, _ = s.dial(t, auth(ssh.PublicKeys(sftpdtest.NewKey(t))))
			}
		},
		"asks for web pages": func(t *testing.T, s *site) {
			for range 10 {
				c, err := net.Dial("tcp", s.addr)
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				_ = c.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}
		},
		"reads banners and leaves": func(t *testing.T, s *site) {
			for range 10 {
				c, err := net.Dial("tcp", s.addr)
				if err != nil {
					return
				}
				_, _ = c.Read(make([]byte, 100))
				_ = c.Close()
			}
		},
		"collects host keys": func(t *testing.T, s *site) {
			for range 10 {
				_, _ = s.dial(t, func(c *ssh.ClientConfig) {
					c.HostKeyCallback = func(string, net.Addr, ssh.PublicKey) error { return errors.New("have it") }
				})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProtector(t)
			s := start(t, sftpd.Config{}, guarded(p))
			visit(t, s)
			eventually(t, "it is banned", func() bool { return p.Admit(loopback) != nil })
			if _, err := s.dial(t, nil); err == nil {
				t.Error("a banned address logs in")
			}
		})
	}
}

func TestALoadBalancerThatIsSafeIsNeverBanned(t *testing.T) {
	p := newProtector(t, protector.Entry{List: protector.Safe, Prefix: netip.MustParsePrefix("127.0.0.0/8")})
	s := start(t, sftpd.Config{}, guarded(p))
	for range 200 { // more than three minutes of a probe a second
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	s.mustDial(t, nil)
	if err := p.Admit(loopback); err != nil || len(p.Entries()) != 1 {
		t.Errorf("after the probes: %v, %v", err, p.Entries())
	}
}

func TestAUserWithAnAgentFullOfKeysIsNotBanned(t *testing.T) {
	p := newProtector(t)
	s := start(t, sftpd.Config{}, guarded(p))
	for range 12 {
		s.mustDial(t, auth(ssh.PublicKeys(sftpdtest.NewKey(t), sftpdtest.NewKey(t), sftpdtest.NewKey(t), s.key)))
	}
	if err := p.Admit(loopback); err != nil {
		t.Error(err)
	}
}

func TestAHostilePacketEndsTheSessionAndCounts(t *testing.T) {
	p := newProtector(t)
	s := start(t, sftpd.Config{}, guarded(p))
	for range 10 {
		c, err := s.dial(t, nil)
		if err != nil {
			break
		}
		session, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		in, _ := session.StdinPipe()
		out, _ := session.StdoutPipe()
		if err := session.RequestSubsystem("sftp"); err != nil {
			t.Fatal(err)
		}
		_, _ = in.Write([]byte{0, 0, 0, 5, 1, 0, 0, 0, 3, 255, 255, 255, 255, 3})
		_, _ = io.Copy(io.Discard, out)
	}
	eventually(t, "it is banned", func() bool { return p.Admit(loopback) != nil })
}

// TestWhatAStrangerSaysIsWrittenDownInShort: who may not log in could fill logs and memory.
func TestWhatAStrangerSaysIsWrittenDownInShort(t *testing.T) {
	var log bytes.Buffer
	s := start(t, sftpd.Config{}, func(_ *sftpdtest.User, p *sftpd.Parts) {
		p.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	long := strings.Repeat("long", 25_000)
	if _, err := s.dial(t, func(c *ssh.ClientConfig) { c.User = long }); err == nil {
		t.Fatal("let in")
	}
	eventually(t, "the log-in fails", func() bool { return len(s.seen(sftpd.LoginFail)) > 0 })
	if e := s.seen(sftpd.LoginFail)[0]; len(e.User) > 300 || len(e.Reason) > 1100 {
		t.Errorf("kept a name of %d bytes and a reason of %d", len(e.User), len(e.Reason))
	}
	s.Stop(t.Context())
	if log.Len() > 10_000 {
		t.Errorf("%d bytes of log", log.Len())
	}
}
