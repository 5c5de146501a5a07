package web

import (
	"crypto/rand"
	"sync"
	"time"
)

// shelf keeps things for a while under names that nobody guesses. When it is full the oldest
// goes.
type shelf[T any] struct {
	now  func() time.Time
	life time.Duration
	most int

	mu  sync.Mutex
	all map[string]kept[T]
}

type kept[T any] struct {
	thing T
	at    time.Time
}

func newShelf[T any](now func() time.Time, life time.Duration, most int) *shelf[T] {
	return &shelf[T]{now: now, life: life, most: most, all: map[string]kept[T]{}}
}

// put keeps a thing; the name finds it again.
func (s *shelf[T]) put(thing T) (name string) {
	name = rand.Text()
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest, at := "", now
	for other, k := range s.all {
		if now.Sub(k.at) >= s.life {
			delete(s.all, other)
		} else if !k.at.After(at) {
			oldest, at = other, k.at
		}
	}
	if len(s.all) >= s.most {
		delete(s.all, oldest)
	}
	s.all[name] = kept[T]{thing, now}
	return name
}

func (s *shelf[T]) get(name string) (thing T, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.all[name]
	if !ok || s.now().Sub(k.at) >= s.life {
		return thing, false
	}
	return k.thing, true
}

func (s *shelf[T]) drop(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, name)
}
