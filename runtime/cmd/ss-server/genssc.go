package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/urfave/cli/v2"

	"ss-setup/runtime/control"
	"ss-setup/runtime/daemon"
	"ss-setup/runtime/setup"
	"ss-setup/runtime/verbs"
)

const gensscVerb = "genssc"

func genssc() *cli.Command {
	return &cli.Command{
		Name:  "genssc",
		Usage: "make a setup code for the first-run page, valid for 5 minutes",
		Flags: []cli.Flag{homeFlag(), controlFlag(), verbs.JSONFlag()},
		Action: func(c *cli.Context) error {
			code, err := makeCode(c.Context, c.String("control"), c.String("home"))
			if err != nil {
				return fmt.Errorf("make a setup code: %w", err)
			}
			if c.Bool("json") {
				return json.NewEncoder(c.App.Writer).Encode(code)
			}
			fmt.Fprintf(c.App.Writer, "Setup code: %s\nValid until %s, for one session.\n", code.Code, code.Expires.Local().Format("15:04:05 MST"))
			return nil
		},
	}
}

// makeCode asks the running server; if none runs it works on the store itself.
func makeCode(ctx context.Context, controlPath, homePath string) (setup.Code, error) {
	var code setup.Code
	err := control.Call(ctx, controlPath, gensscVerb, &code)
	if !errors.Is(err, control.ErrNotRunning) {
		return code, err
	}
	home, err := daemon.Find(homePath, dataLink)
	if err != nil {
		return setup.Code{}, withSudo(err)
	}
	st, err := schema().Open(home.Data)
	if err != nil {
		return setup.Code{}, withSudo(err)
	}
	code, err = setup.New(st, rand.Reader, time.Now).Make()
	return code, errors.Join(err, st.Close())
}

func withSudo(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; run sudo ss-server genssc", err)
	}
	return err
}
