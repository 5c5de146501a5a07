package preflight

import (
	"errors"
	"fmt"
	"io/fs"
)

// Owners looks whether anybody else has made or redirected one of our folders, where
// everybody may make some. It is asked before anything in them is read or written: a
// journal that somebody laid there would be carried out.
func Owners(p Probe) []Check {
	checks := make([]Check, 0, len(guarded))
	for _, folder := range guarded {
		why, err := p.Planted(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another run has just taken it away
		}
		if err != nil {
			why = "that cannot be told: " + err.Error()
		}
		if why != "" {
			checks = append(checks, Check{
				Name: Ownership, Status: Fail, Message: fmt.Sprintf("%s is not to be trusted: %s", folder, why),
				Cure: fmt.Sprintf(say.planted, folder),
			})
		}
	}
	if len(checks) == 0 {
		checks = append(checks, ok(Ownership, "nobody else has made a folder of ours"))
	}
	return checks
}
