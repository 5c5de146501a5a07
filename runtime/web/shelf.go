package web

import (
	"crypto/rand"
	"sync"
	"time"
)

// shelf keeps things for a while under names that nobody guesses. Where there is no room the
// oldest goes: of whoever puts more than his share there, else of all.
type shelf[T any] struct {
	now  func() time.Time
	life time.Duration
	room room

	mu  sync.Mutex
	all map[string]kept[T]
}

// room is what a shelf has of it: how many things of all, and how many things and bytes of
// one owner.
type room struct{ most, each, bytes int }

type kept[T any] struct {
	thing T
	owner string
	size  int
	at    time.Time
}

func newShelf[T any](now func() time.Time, life time.Duration, room room) *shelf[T] {
	return &shelf[T]{now: now, life: life, room: room, all: map[string]kept[T]{}}
}

// put keeps a thing of somebody, of about size bytes; the name finds it again.
func (s *shelf[T]) put(owner string, size int, thing T) (name string) {
	name = rand.Text()
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, k := range s.all {
		if now.Sub(k.at) >= s.life {
			delete(s.all, other)
		}
	}
	for {
		count, bytes, oldest := s.of(owner)
		if count == 0 || count < s.room.each && bytes+size <= s.room.bytes {
			break
		}
		delete(s.all, oldest)
	}
	if len(s.all) >= s.room.most {
		delete(s.all, s.oldest(func(kept[T]) bool { return true }))
	}
	s.all[name] = kept[T]{thing, owner, size, now}
	return name
}

// of is what one owner has there.
func (s *shelf[T]) of(owner string) (count, bytes int, oldest string) {
	for _, k := range s.all {
		if k.owner == owner {
			count++
			bytes += k.size
		}
	}
	return count, bytes, s.oldest(func(k kept[T]) bool { return k.owner == owner })
}

func (s *shelf[T]) oldest(among func(kept[T]) bool) (name string) {
	var at time.Time
	for other, k := range s.all {
		if among(k) && (name == "" || k.at.Before(at)) {
			name, at = other, k.at
		}
	}
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

// getOf is get for a thing of this owner only.
func (s *shelf[T]) getOf(owner, name string) (thing T, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.all[name]
	if !ok || k.owner != owner || s.now().Sub(k.at) >= s.life {
		return thing, false
	}
	return k.thing, true
}

func (s *shelf[T]) drop(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, name)
}
