package container

import "io"

// The pieces in which a packed entry is unpacked ahead, and how many there are.
const (
	pieceSize = 64 << 10
	pieces    = 4
)

// ahead reads what another reader gives in a goroutine of its own, so that unpacking and
// understanding go on side by side. It holds a few pieces and no more.
type ahead struct {
	full chan piece
	free chan []byte
	quit chan struct{}
	done chan struct{}

	now  piece
	rest []byte
}

type piece struct {
	text []byte
	err  error
}

// readAhead begins to read. stop must be called before r is closed.
func readAhead(r io.Reader) *ahead {
	a := &ahead{full: make(chan piece, pieces), free: make(chan []byte, pieces), quit: make(chan struct{}), done: make(chan struct{})}
	for range pieces {
		a.free <- make([]byte, pieceSize)
	}
	go a.run(r)
	return a
}

func (a *ahead) run(r io.Reader) {
	defer close(a.done)
	for {
		var buf []byte
		select {
		case <-a.quit:
			return
		case buf = <-a.free:
		}
		n, err := io.ReadFull(r, buf[:pieceSize])
		if err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		a.full <- piece{buf[:n], err} // there is room for all pieces
		if err != nil {
			return
		}
	}
}

// Read implements io.Reader.
func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.now.err != nil {
			return 0, a.now.err
		}
		if a.now.text != nil {
			a.free <- a.now.text
		}
		a.now = <-a.full
		a.rest = a.now.text
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// stop ends the reading, and returns when nobody reads any more.
func (a *ahead) stop() {
	close(a.quit)
	<-a.done
}
