package store

import (
	"errors"
	"os"
	"testing"
	"time"
)

// TestWhoWaitsForAStoreThatIsReplacedGetsTheNewOne: a server that starts meanwhile must
// not serve a file without a name.
func TestWhoWaitsForAStoreThatIsReplacedGetsTheNewOne(t *testing.T) {
	dir := newStore(t, 1)
	s := testSchema(1)
	s.LockWait = 10 * time.Second
	note(t, s, dir, "old")
	next := fresh(t, 1, "new")
	first, err := s.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	go func() { got <- noted(t, s, dir) }()
	time.Sleep(200 * time.Millisecond)
	if err := errors.Join(os.Rename(next, s.Path(dir)), first.Close()); err != nil {
		t.Fatal(err)
	}
	if value := <-got; value != "new" {
		t.Errorf("who waited has the store with %q", value)
	}
}
