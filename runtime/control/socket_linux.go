package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// listen makes the socket with mode 0600. The store's lock is held by then, so a
// socket file that is there belongs to a server that is gone.
func listen(path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	// Until here others may connect at most; onlyRoot refuses them.
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// onlyRoot asks the kernel who is at the other end.
func onlyRoot(conn net.Conn) error { return onlyUser(conn, 0) }

func onlyUser(conn net.Conn, uid uint32) error {
	peer, err := peerOf(conn)
	if err != nil {
		return fmt.Errorf("ask who is calling: %w", err)
	}
	if peer.Uid != uid {
		return fmt.Errorf("user %d may not ask this, only root may", peer.Uid)
	}
	return nil
}

func peerOf(conn net.Conn) (*syscall.Ucred, error) {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("%T has no peer", conn)
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return nil, err
	}
	var peer *syscall.Ucred
	var peerErr error
	err = raw.Control(func(fd uintptr) {
		peer, peerErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	return peer, errors.Join(err, peerErr)
}

func dial(ctx context.Context, path string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w: nothing listens at %s", ErrNotRunning, path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("reach the running server: %w; only root may", err)
	case err != nil:
		return nil, fmt.Errorf("reach the running server: %w", err)
	}
	return conn, nil
}
