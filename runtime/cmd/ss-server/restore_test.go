package main

import (
	"testing"

	"ss-setup/runtime/audit"
)

func TestOneStoreIsPutInForceAtATimeAndItsEndIsFoundByWhoWaits(t *testing.T) {
	var r replacements
	undo, err := r.begin("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.begin("b"); err == nil {
		t.Error("another one takes its place")
	}
	if last, err := r.of("a"); err != nil || last.Done {
		t.Errorf("%+v, %v", last, err)
	}
	undo()
	for _, end := range []replacement{{Name: "a", Done: true}, {Name: "b", Error: "the disk is full"}} {
		if _, err := r.begin(end.Name); err != nil {
			t.Error(err)
		}
		r.end(end, audit.Event{})
		if last, err := r.of(end.Name); err != nil || last.Done != end.Done || last.Error != end.Error {
			t.Errorf("%+v, %v", last, err)
		}
	}
}
