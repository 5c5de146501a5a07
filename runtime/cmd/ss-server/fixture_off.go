//go:build !fixture

package main

import (
	"github.com/urfave/cli/v2"

	"ss-setup/runtime/store"
)

// fixtureVerbs and fixtureMigrations exist in builds for tests only.
func fixtureVerbs() []*cli.Command { return nil }

func fixtureMigrations() []store.Migration { return nil }
