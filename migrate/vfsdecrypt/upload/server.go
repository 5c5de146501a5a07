package upload

import (
	"context"
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
	// partSuffix is of names under which files are sent.
	partSuffix = ".ss-part"
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
	address := s.Address.HostPort()
	conn, err := s.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	_ = conn.SetDeadline(time.Now().Add(dialTimeout))
	transport, channels, requests, err := ssh.NewClientConn(conn, address, s.config)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("log in to %s as %s: %w", address, s.Address.User, err), conn.Close())
	}
	_ = conn.SetDeadline(time.Time{})
	s.ssh = ssh.NewClient(transport, channels, requests)
	if s.sftp, err = sftp.NewClient(s.ssh, sftp.UseConcurrentWrites(true)); err != nil {
		return nil, errors.Join(fmt.Errorf("begin SFTP with %s: %w", address, err), s.ssh.Close())
	}
	return s.sftp, nil
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
		err = do(client)
		if !lost(err) {
			return err
		}
		s.drop(client)
	}
	return vfsdecrypt.Stop(err)
}

// lost tells the end of a connection from what a server answers.
func lost(err error) bool {
	var network net.Error
	return errors.Is(err, sftp.ErrSSHFxConnectionLost) || errors.Is(err, sftp.ErrSSHFxNoConnection) ||
		errors.Is(err, net.ErrClosed) || errors.As(err, &network) || errors.Is(err, io.ErrClosedPipe)
}

func (s *Server) at(name string) string { return path.Join(s.Address.Path, name) }

// Has implements vfsdecrypt.Target.
func (s *Server) Has(f vfsdecrypt.File, least, most int64) (there bool, err error) {
	err = s.with(context.Background(), func(c *sftp.Client) error {
		info, err := c.Lstat(s.at(f.Path))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		there = info.Mode().IsRegular() && info.Size() >= least && info.Size() <= most &&
			info.ModTime().Sub(f.Modified).Abs() < sameTime
		if !there {
			return ErrOther
		}
		return nil
	})
	return there, err
}

// MakeFolder implements vfsdecrypt.Target.
func (s *Server) MakeFolder(f vfsdecrypt.File) error {
	return s.with(context.Background(), func(c *sftp.Client) error {
		err := c.Mkdir(s.at(f.Path))
		if err == nil || lost(err) {
			return err
		}
		if info, there := c.Stat(s.at(f.Path)); there == nil && info.IsDir() {
			return nil
		}
		return err
	})
}

// Put implements vfsdecrypt.Target.
func (s *Server) Put(ctx context.Context, f vfsdecrypt.File, open func() (io.ReadCloser, error)) error {
	return s.with(ctx, func(c *sftp.Client) error {
		content, err := open()
		if err != nil {
			return err
		}
		defer content.Close()
		return s.send(c, f, content)
	})
}

func (s *Server) send(c *sftp.Client, f vfsdecrypt.File, content io.Reader) error {
	part := s.at(f.Path) + partSuffix
	out, err := c.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("begin it on the server: %w", err)
	}
	n, err := out.ReadFrom(content)
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err != nil {
		if !lost(err) {
			err = errors.Join(err, c.Remove(part))
		}
		return err
	}
	info, err := c.Stat(part)
	if err == nil && info.Size() != n {
		err = fmt.Errorf("the server has %d of its %d bytes", info.Size(), n)
	}
	if err == nil {
		err = c.Chtimes(part, f.Modified, f.Modified)
	}
	if err == nil {
		// Not PosixRename: what has come there meanwhile stays.
		err = c.Rename(part, s.at(f.Path))
	}
	if err != nil {
		return fmt.Errorf("finish it on the server: %w", err)
	}
	return nil
}

// Settle implements vfsdecrypt.Target: there is nothing left to do.
func (s *Server) Settle() error { return nil }
