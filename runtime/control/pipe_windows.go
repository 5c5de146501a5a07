package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/Microsoft/go-winio"
)

// pipeAccess: SYSTEM, Administrators and the service's own account; nobody else.
const pipeAccess = "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)"

func listen(path string) (net.Listener, error) {
	l, err := winio.ListenPipe(path, &winio.PipeConfig{SecurityDescriptor: pipeAccess})
	if err != nil {
		return nil, err
	}
	return &pipe{l, occupy(path)}, nil
}

// pipe is a listener and whoever keeps its first instance occupied.
type pipe struct {
	net.Listener
	occupier net.Conn
}

// Close closes both.
func (p *pipe) Close() error {
	err := p.Listener.Close()
	if p.occupier != nil {
		err = errors.Join(err, p.occupier.Close())
	}
	return err
}

// occupy connects to the instance that holds the pipe's name and that nobody
// answers. Windows lets nobody connect to it; wine does, and the first who asks
// would wait for ever.
func occupy(path string) net.Conn {
	soon := time.Millisecond
	conn, err := winio.DialPipe(path, &soon)
	if err != nil {
		return nil
	}
	return conn
}

// onlyRoot has nothing to ask: the pipe's access list let nobody else in.
func onlyRoot(net.Conn) error { return nil }

func dial(ctx context.Context, path string) (net.Conn, error) {
	conn, err := winio.DialPipeContext(ctx, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: nothing listens at %s", ErrNotRunning, path)
	case err != nil:
		return nil, fmt.Errorf("reach the running server: %w; run the command as Administrator", err)
	}
	return conn, nil
}
