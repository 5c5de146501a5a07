package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"ss-setup/runtime/control"
	"ss-setup/runtime/daemon"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/rest"
	"ss-setup/runtime/verbs"
)

// The verbs that a running server answers.
const (
	tokenAddVerb    = "token-add"
	tokenListVerb   = "token-list"
	tokenRemoveVerb = "token-remove"
)

func tokenCommand() *cli.Command {
	common := []cli.Flag{homeFlag(), stateFlag(), controlFlag(), verbs.JSONFlag()}
	return &cli.Command{
		Name:  "token",
		Usage: "make, list and remove the tokens that programs use the REST interface with",
		Subcommands: []*cli.Command{
			{
				Name: "add", ArgsUsage: "NAME", Action: addToken,
				Usage: "make a token; its text is printed this once",
				Flags: append([]cli.Flag{
					&cli.BoolFlag{Name: "super", Usage: "with all rights, as a SuperAdmin"},
					&cli.StringSliceFlag{Name: "site", Usage: "with rights in this `SITE`"},
					&cli.StringSliceFlag{Name: "view", Usage: "to see objects of this `KIND` (user, group, vfs …)"},
					&cli.StringSliceFlag{Name: "edit", Usage: "to see and change objects of this `KIND`; all of a site if neither this nor --view is given"},
					&cli.StringSliceFlag{Name: "from", Usage: "to be used from this address or `NETWORK`"},
					&cli.DurationFlag{Name: "expires", Usage: "to end after this `TIME`, such as 720h; never if it is left out"},
					&cli.StringFlag{Name: "description", Usage: "what it is for"},
				}, common...),
			},
			{Name: "list", Usage: "list the tokens", Flags: common, Action: listTokens},
			{Name: "remove", Usage: "end a token", ArgsUsage: "NAME", Flags: common, Action: removeToken},
		},
	}
}

// madeToken is a token with its text.
type madeToken struct {
	Token  *model.Token `json:"token"`
	Secret string       `json:"secret"`
}

func addToken(c *cli.Context) error {
	t, err := wantedToken(c)
	if err != nil {
		return err
	}
	var made madeToken
	err = onObjects(c, tokenAddVerb, t, &made, func(ctx context.Context, e *engine.Engine) (any, error) { return makeToken(ctx, e, t) })
	if err != nil {
		return fmt.Errorf("make a token: %w", err)
	}
	if c.Bool("json") {
		return json.NewEncoder(c.App.Writer).Encode(made)
	}
	fmt.Fprintf(c.App.Writer, "%s\nIt cannot be shown again. Send it as: Authorization: Bearer TOKEN\n", made.Secret)
	return nil
}

func wantedToken(c *cli.Context) (*model.Token, error) {
	t := &model.Token{
		Head: model.Head{Name: c.Args().First()}, Description: c.String("description"),
		Super: c.Bool("super"), Sites: c.StringSlice("site"), AllowFrom: c.StringSlice("from"),
	}
	for _, kind := range c.StringSlice("view") {
		t.Rights.View = append(t.Rights.View, model.Kind(kind))
	}
	for _, kind := range c.StringSlice("edit") {
		t.Rights.Edit = append(t.Rights.Edit, model.Kind(kind))
	}
	named := len(t.Rights.View)+len(t.Rights.Edit) > 0
	switch {
	case t.Super && (named || len(t.Sites) > 0):
		return nil, fmt.Errorf("%w: --super gives all rights; leave --site, --view and --edit out", verbs.ErrUsage)
	case !t.Super && len(t.Sites) == 0:
		return nil, fmt.Errorf("%w: say what the token is for: --super, or --site SITE with --view KIND and --edit KIND", verbs.ErrUsage)
	case !t.Super && !named:
		t.Rights = model.FullRights()
	}
	if d := c.Duration("expires"); d != 0 {
		if d < 0 {
			return nil, fmt.Errorf("%w: --expires is a time from now on", verbs.ErrUsage)
		}
		t.Expires = time.Now().Add(d).UTC().Truncate(time.Second)
	}
	return t, nil
}

func makeToken(ctx context.Context, e *engine.Engine, t *model.Token) (*madeToken, error) {
	text, err := rest.MakeToken(ctx, e, byRoot, t)
	if err != nil {
		return nil, err
	}
	model.Redact(t)
	return &madeToken{Token: t, Secret: text}, nil
}

func listTokens(c *cli.Context) error {
	var list []*model.Token
	err := onObjects(c, tokenListVerb, nil, &list, func(_ context.Context, e *engine.Engine) (any, error) { return tokensOf(e) })
	if err != nil {
		return fmt.Errorf("list the tokens: %w", err)
	}
	if c.Bool("json") {
		return json.NewEncoder(c.App.Writer).Encode(list)
	}
	w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tRIGHTS\tEXPIRES\tDESCRIPTION")
	for _, t := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", t.Name, rightsOf(t), expiryOf(t), t.Description)
	}
	return w.Flush()
}

func rightsOf(t *model.Token) string {
	text := "all"
	if !t.Super {
		text = fmt.Sprintf("in %s: see %v, change %v", strings.Join(t.Sites, ", "), t.Rights.View, t.Rights.Edit)
	}
	if t.Disabled {
		text = "disabled (" + text + ")"
	}
	return text
}

func expiryOf(t *model.Token) string {
	if t.Expires.IsZero() {
		return "never"
	}
	return t.Expires.Local().Format(time.DateTime)
}

func tokensOf(e *engine.Engine) (list []*model.Token, err error) {
	list = []*model.Token{}
	err = e.Read(func(r *engine.Reader) error {
		for t, err := range engine.Tokens.All(r) {
			if err != nil {
				return err
			}
			model.Redact(t)
			list = append(list, t)
		}
		return nil
	})
	return list, err
}

func removeToken(c *cli.Context) error {
	name := c.Args().First()
	err := onObjects(c, tokenRemoveVerb, name, nil, func(ctx context.Context, e *engine.Engine) (any, error) {
		return nil, dropToken(ctx, e, name)
	})
	if err != nil {
		return fmt.Errorf("remove a token: %w", err)
	}
	return nil
}

func dropToken(ctx context.Context, e *engine.Engine, name string) error {
	_, err := e.Write(ctx, byRoot, func(tx *engine.Tx) error {
		return tx.Delete(model.Key{Kind: model.KindToken, ID: name}, 0)
	})
	return err
}

// tokenVerbs answer the commands while the server runs.
func tokenVerbs(e *engine.Engine) map[string]control.Verb {
	return map[string]control.Verb{
		tokenAddVerb: func(ctx context.Context, r *control.Request) (any, error) {
			var t model.Token
			if err := r.Args(&t); err != nil {
				return nil, err
			}
			return makeToken(ctx, e, &t)
		},
		tokenListVerb: func(context.Context, *control.Request) (any, error) { return tokensOf(e) },
		tokenRemoveVerb: func(ctx context.Context, r *control.Request) (any, error) {
			var name string
			if err := r.Args(&name); err != nil {
				return nil, err
			}
			return nil, dropToken(ctx, e, name)
		},
	}
}

// onObjects asks the running server; if none runs it does the same here.
func onObjects(c *cli.Context, verb string, args, result any, do func(context.Context, *engine.Engine) (any, error)) error {
	err := control.Ask(c.Context, c.String("control"), control.Question{Verb: verb, Args: args}, result)
	if !errors.Is(err, control.ErrNotRunning) {
		return forRoot(strings.ReplaceAll(verb, "-", " "), err, os.Geteuid())
	}
	home, err := daemon.Find(c.String("home"), dataLink)
	if err != nil {
		return forRoot(strings.ReplaceAll(verb, "-", " "), err, os.Geteuid())
	}
	st, err := schema().Open(home.Data)
	if err != nil {
		return forRoot(strings.ReplaceAll(verb, "-", " "), err, os.Geteuid())
	}
	e, _, err := openObjects(st, c.String("state"), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		return errors.Join(err, st.Close())
	}
	answer, err := do(c.Context, e)
	if err = errors.Join(err, e.Close(), st.Close()); err != nil || result == nil {
		return err
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, result)
}
