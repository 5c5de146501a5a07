package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"

	"github.com/Microsoft/go-winio"
)

// pipeAccess: SYSTEM, Administrators and the service's own account; nobody else.
const pipeAccess = "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)"

func listen(path string) (net.Listener, error) {
	return winio.ListenPipe(path, &winio.PipeConfig{SecurityDescriptor: pipeAccess})
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
