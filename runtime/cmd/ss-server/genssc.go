package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"ss-setup/runtime/control"
	"ss-setup/runtime/daemon"
	"ss-setup/runtime/service"
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
				return forRoot(gensscVerb, fmt.Errorf("make a setup code: %w", err), os.Geteuid())
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
		return setup.Code{}, err
	}
	st, err := schema().Open(home.Data)
	if err != nil {
		return setup.Code{}, err
	}
	code, err = setup.New(st, rand.Reader, time.Now).Make()
	return code, errors.Join(err, st.Close())
}

// forRoot adds the command that works to what another user than root was refused.
func forRoot(verb string, err error, uid int) error {
	if err != nil && uid > 0 && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; run: %s", err, service.AsRoot(name+" "+verb))
	}
	return err
}
