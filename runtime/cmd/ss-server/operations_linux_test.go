package main

import (
	"fmt"
	"log/slog"
	"os"
	"testing"

	"ss-setup/runtime/config"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/sites"
)

func TestTheLevelOfTheLogFollowsTheSettingsUnlessTheFileNamesOne(t *testing.T) {
	n := newInstalled(t)
	n.write(t, func(_ *sites.Manager, e *engine.Engine) {
		var level slog.LevelVar
		o := newOperations(slog.New(slog.DiscardHandler), &level, paths{config: n.path("etc/server.toml"), state: n.path("var"), logs: n.path("log")}, config.Server{})
		defer o.Close()
		set := func(change func(*model.Settings)) {
			t.Helper()
			_, err := e.Write(t.Context(), "superadmin/sa", func(tx *engine.Tx) error {
				s, err := engine.CurrentSettings(tx.Reader)
				if err != nil {
					return err
				}
				change(s)
				return tx.Put(s)
			})
			check(t, err)
		}
		is := func(want slog.Level) {
			t.Helper()
			if got := level.Level(); got != want {
				t.Errorf("the level is %s, not %s", got, want)
			}
		}
		set(func(s *model.Settings) { s.Log.Level = "warn" })
		o.follow(e)
		_, err := o.open(n.path("var/tls"))
		check(t, err)
		is(slog.LevelWarn)
		set(func(s *model.Settings) { s.Log.Level = "debug" })
		is(slog.LevelDebug)
		level.Set(slog.LevelError) // by ss-server log-level
		set(func(s *model.Settings) { s.Log.KeepDays = 30 })
		is(slog.LevelError)
		reload := func(file string) {
			t.Helper()
			check(t, os.WriteFile(n.path("etc/server.toml"), fmt.Appendf(nil, "[web]\nlisten = %q\n%s", n.web, file), 0o600))
			_, err := o.reload()
			check(t, err)
		}
		reload("")
		is(slog.LevelDebug)
		reload("[log]\nlevel = \"warn\"\n")
		is(slog.LevelWarn)
		set(func(s *model.Settings) { s.Log.Level = "" })
		is(slog.LevelWarn)
		reload("")
		is(slog.LevelInfo)
	})
}
