package main

import "testing"

// TestOnlyABackupThatSomebodyKeepsCountsAsOne: the overview asks for one else.
func TestOnlyABackupThatSomebodyKeepsCountsAsOne(t *testing.T) {
	n := newInstalled(t)
	n.run(t)
	last := lastBackupIn(n.path("var"))
	flags := []string{"--home", n.path("current"), "--state", n.path("var"), "--control", n.path("run/c")}
	for _, c := range []struct {
		more []string
		want bool
	}{{[]string{n.path("trial.zip"), "--unkept"}, false}, {[]string{n.path("kept.zip")}, true}} {
		if code, out := runVerbOf(t, append(append([]string{"backup"}, c.more...), flags...)...); code != 0 {
			t.Fatal(code, out)
		}
		if at, err := last.time(); err != nil || at.IsZero() == c.want {
			t.Errorf("after %q the last backup is of %s, %v", c.more, at, err)
		}
	}
}
