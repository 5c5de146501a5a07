package daemon

import "github.com/urfave/cli/v2"

// HomeOf is the home that a command line names: by --generation, else by --home.
func HomeOf(c *cli.Context) string {
	if n := c.Int("generation"); n > 0 {
		return GenerationHome(n)
	}
	return c.String("home")
}
