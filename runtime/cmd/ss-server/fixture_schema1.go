//go:build fixture && !fixture_schema2

package main

import "ss-setup/runtime/store"

func fixtureMigrations() []store.Migration { return nil }
