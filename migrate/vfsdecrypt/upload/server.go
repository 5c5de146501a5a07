package upload

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"ss-setup/migrate/vfsdecrypt"
)

const (
	dialTimeout = 30 * time.Second
	// tries is how often a file is begun that a lost connection cut off, pause how long the
	// second waits; the next wait twice as long each.
	tries = 5
	pause = time.Second
	// partPrefix is of names under which files are sent, in the folder of each.
	partPrefix = ".ss-part-"
	// compared is how much of a file that is there is compared with what would be sent.
	compared = 64 << 10
	// dying is how long a connection may take to say that it is lost.
	dying = 2 * time.Second
	// sameTime: SFTP counts whole seconds, some file systems in two.
	sameTime = 2 * time.Second
)

// ErrOther: there is a file of that name which this program did not send.
var ErrOther = errors.New("there is another file of that name on the server, and it was not touched")

// Options say how to reach a server.
type Options struct {
	Address Address
	Trust   Trust
	// Auth is how the user logs in.
	Auth []ssh.AuthMethod
	// Dial makes connections; that of net.Dialer if nil.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Sleep waits between tries; a timer if nil.
	Sleep func(context.Context, time.Duration)
}

// Server is a vfsdecrypt.Target on an SFTP server.
type Server struct {
	Options
	config *ssh.ClientConfig

	mu   sync.Mutex
	ssh  *ssh.Client
	sftp *sftp.Client
	gone chan struct{} // closed when the connection has ended
}

// Connect logs in and looks whether the folder is there.
func Connect(ctx context.Context, o Options) (*Server, error) {
	check, algorithms, err := o.Trust.callback(o.Address.HostPort())
	if err != nil {
		return nil, err
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	s := &Server{Options: o, config: &ssh.ClientConfig{
		User: o.Address.User, Auth: o.Auth, HostKeyCallback: check, HostKeyAlgorithms: algorithms, Timeout: dialTimeout,
	}}
	client, err := s.client(ctx)
	if err != nil {
		return nil, err
	}
	if info, err := client.Stat(o.Address.Path); err != nil || !info.IsDir() {
		return nil, errors.Join(fmt.Errorf("%s is no folder on the server; make it first (%w)", o.Address.Path, err), s.Close())
	}
	return s, nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// client is the connection that there is, or a new one.
func (s *Server) client(ctx context.Context) (*sftp.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sftp != nil {
		return s.sftp, nil
	}
	var err error
	if s.ssh, err = s.logIn(ctx); err != nil {
		return nil, err
	}
	if s.sftp, err = sftp.NewClient(s.ssh, sftp.UseConcurrentWrites(true)); err != nil {
		return nil, errors.Join(fmt.Errorf("begin SFTP with %s: %w", s.Address.HostPort(), err), s.ssh.Close())
	}
	s.gone = make(chan struct{})
	go func(client *sftp.Client, gone chan struct{}) {
		_ = client.Wait()
		close(gone)
	}(s.sftp, s.gone)
	return s.sftp, nil
}

// logIn makes a connection. A server shows one of its host keys at a time: while it shows
// another one than the fingerprint is of, it is asked again for one of another kind. What
// it was asked for in the end is what it is asked for from then on.
func (s *Server) logIn(ctx context.Context) (*ssh.Client, error) {
	var shown []ssh.PublicKey
	for {
		client, err := s.dial(ctx)
		var other *otherKey
		var negotiation *ssh.AlgorithmNegotiationError
		switch {
		case errors.As(err, &other):
			shown = append(shown, other.key)
			before := len(s.config.HostKeyAlgorithms)
			s.config.HostKeyAlgorithms = without(s.config.HostKeyAlgorithms, other.key.Type())
			if left := len(s.config.HostKeyAlgorithms); left > 0 && left < before {
				continue
			}
		case len(shown) == 0 || !errors.As(err, &negotiation):
			return client, err
		}
		return nil, fmt.Errorf("log in to %s as %s: %w", s.Address.HostPort(), s.Address.User, noneOf(shown, s.Trust.Fingerprint))
	}
}

// dial makes a connection as the configuration says.
func (s *Server) dial(ctx context.Context) (*ssh.Client, error) {
	address := s.Address.HostPort()
	conn, err := s.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	_ = conn.SetDeadline(time.Now().Add(dialTimeout))
	transport, channels, requests, err := ssh.NewClientConn(conn, address, s.config)
	if err != nil {
		_ = conn.Close() // it is mostly closed already
		return nil, fmt.Errorf("log in to %s as %s: %w", address, s.Address.User, err)
	}
	_ = conn.SetDeadline(time.Time{})
	return ssh.NewClient(transport, channels, requests), nil
}

// lost tells whether an error is the end of a connection, or what the server answered: by
// what the connection says itself, as errors of all kinds come of its end.
func (s *Server) lost(ctx context.Context, client *sftp.Client, err error) bool {
	var status *sftp.StatusError
	if err == nil || errors.As(err, &status) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, ErrOther) || errors.Is(err, errSource) {
		return false
	}
	s.mu.Lock()
	gone := s.gone
	current := s.sftp == client
	s.mu.Unlock()
	if !current {
		return true // another goroutine has found it lost
	}
	wait := time.Duration(0)
	var network net.Error
	if errors.Is(err, sftp.ErrSSHFxConnectionLost) || errors.Is(err, sftp.ErrSSHFxNoConnection) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) || errors.As(err, &network) {
		wait = dying
	}
	select {
	case <-gone:
		return true
	case <-time.After(wait):
	case <-ctx.Done():
	}
	select {
	case <-gone:
		return true
	default:
		return errors.Is(err, sftp.ErrSSHFxConnectionLost) || errors.Is(err, sftp.ErrSSHFxNoConnection)
	}
}

// errSource marks what is wrong with the source, and not with the connection.
var errSource = errors.New("read the source")

// source marks the errors of a reader.
type source struct{ r io.Reader }

// Read implements io.Reader.
func (s source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", errSource, err)
	}
	return n, err
}

// drop forgets a connection that is lost.
func (s *Server) drop(lost *sftp.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sftp == lost {
		_ = s.ssh.Close()
		s.sftp, s.ssh = nil, nil
	}
}

// Close ends the connection.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sftp == nil {
		return nil
	}
	err := errors.Join(s.sftp.Close(), s.ssh.Close())
	s.sftp, s.ssh = nil, nil
	return err
}

// with does something by the connection, again by a new one if it is lost meanwhile. That
// no connection can be had ends the run.
func (s *Server) with(ctx context.Context, do func(*sftp.Client) error) error {
	var err error
	for i, wait := 0, pause; i < tries; i++ {
		if i > 0 {
			s.Sleep(ctx, wait)
			wait *= 2
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var client *sftp.Client
		if client, err = s.client(ctx); err != nil {
			if errors.Is(err, ErrHostKey) {
				break
			}
			continue
		}
		if err = do(client); !s.lost(ctx, client, err) {
			return err
		}
		s.drop(client)
	}
	return vfsdecrypt.Stop(err)
}

func (s *Server) at(name string) string { return path.Join(s.Address.Path, name) }

// Has implements vfsdecrypt.Target. A file of the length and time that are wanted may be
// the one as it was, encrypted, where the folder is that of the old VFS or a copy: its
// beginning tells.
func (s *Server) Has(ctx context.Context, f vfsdecrypt.File, want vfsdecrypt.Expected) (there bool, err error) {
	err = s.with(ctx, func(c *sftp.Client) error {
		info, err := c.Lstat(s.at(f.Path))
		if errors.Is(err, fs.ErrNotExist) {
			there = false
			return nil
		}
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() || info.Size() < want.Least || info.Size() > want.Most || info.ModTime().Sub(f.Modified).Abs() >= sameTime {
			return ErrOther
		}
		if there, err = s.begins(c, f, want); err == nil && !there {
			err = ErrOther
		}
		return err
	})
	return there && err == nil, err
}

// begins compares the beginning of a file on the server with what would be sent.
func (s *Server) begins(c *sftp.Client, f vfsdecrypt.File, want vfsdecrypt.Expected) (bool, error) {
	ours, err := want.Head(compared)
	if err != nil {
		return false, fmt.Errorf("%w: %w", errSource, err)
	}
	file, err := c.Open(s.at(f.Path))
	if err != nil {
		return false, fmt.Errorf("look at the file that is there: %w", err)
	}
	defer file.Close()
	theirs, err := io.ReadAll(io.LimitReader(file, compared))
	return err == nil && bytes.Equal(ours, theirs), err
}

// MakeFolder implements vfsdecrypt.Target.
func (s *Server) MakeFolder(ctx context.Context, f vfsdecrypt.File) error {
	return s.with(ctx, func(c *sftp.Client) error {
		err := c.Mkdir(s.at(f.Path))
		if err == nil {
			return nil
		}
		if info, there := c.Stat(s.at(f.Path)); there == nil && info.IsDir() {
			return nil
		}
		return err
	})
}

// Put implements vfsdecrypt.Target.
func (s *Server) Put(ctx context.Context, f vfsdecrypt.File, open func() (io.ReadCloser, error)) error {
	var before *sending
	return s.with(ctx, func(c *sftp.Client) error {
		if before != nil {
			done, err := before.settle(c)
			if done || err != nil {
				return err
			}
		}
		content, err := open()
		if err != nil {
			return fmt.Errorf("%w: %w", errSource, err)
		}
		defer content.Close()
		before = &sending{to: s.at(f.Path), part: path.Join(path.Dir(s.at(f.Path)), partPrefix+rand.Text())}
		return before.send(c, f, content)
	})
}

// sending is a file under way.
type sending struct {
	to, part string
	bytes    int64
	// named tells that the server was asked to give the part its name.
	named bool
}

// settle finds out what became of one that a lost connection cut off: the server may have
// done what it could not answer any more. What is left of it goes.
func (s *sending) settle(c *sftp.Client) (done bool, err error) {
	_, err = c.Lstat(s.part)
	switch {
	case err == nil:
		return false, c.Remove(s.part)
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	case !s.named:
		return false, nil
	}
	info, err := c.Lstat(s.to)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.Mode().IsRegular() && info.Size() == s.bytes, err
}

func (s *sending) send(c *sftp.Client, f vfsdecrypt.File, content io.Reader) error {
	out, err := c.OpenFile(s.part, os.O_CREATE|os.O_EXCL|os.O_WRONLY)
	if err != nil {
		return fmt.Errorf("begin it on the server: %w", err)
	}
	s.bytes, err = out.ReadFrom(source{content})
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = s.name(c, f)
	}
	if err != nil {
		// Fails as well where the connection is lost; settle comes back to it.
		_ = c.Remove(s.part)
	}
	return err
}

// name checks what arrived, and gives it its name.
func (s *sending) name(c *sftp.Client, f vfsdecrypt.File) error {
	info, err := c.Stat(s.part)
	if err == nil && info.Size() != s.bytes {
		err = fmt.Errorf("the server has %d of its %d bytes", info.Size(), s.bytes)
	}
	if err == nil {
		err = c.Chtimes(s.part, f.Modified, f.Modified)
	}
	if err == nil {
		s.named = true
		// Not PosixRename: what has come there meanwhile stays.
		err = c.Rename(s.part, s.to)
	}
	if err != nil {
		return fmt.Errorf("finish it on the server: %w", err)
	}
	return nil
}

// Settle implements vfsdecrypt.Target: there is nothing left to do.
func (s *Server) Settle() error { return nil }
