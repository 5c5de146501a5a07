package main

import (
	"io/fs"
	"strings"
	"testing"
)

func TestGensscTellsAUserTheCommandThatWorks(t *testing.T) {
	if got := forRoot(gensscVerb, fs.ErrPermission, 1000).Error(); !strings.HasSuffix(got, "ss-server genssc") && !strings.HasSuffix(got, "ss-server genssc'") {
		t.Error(got)
	}
	if got := forRoot(gensscVerb, fs.ErrPermission, 0); got != fs.ErrPermission {
		t.Errorf("root is told: %v", got)
	}
	if got := forRoot(gensscVerb, fs.ErrNotExist, 1000); got != fs.ErrNotExist {
		t.Errorf("what is not there comes by no right: %v", got)
	}
}
