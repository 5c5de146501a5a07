package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"time"

	"ss-setup/installer/machine"
	"ss-setup/runtime/config"
)

// reachPatience is how long the license daemon may take to have asked its license
// server once: longer than it waits itself.
const reachPatience = 7 * time.Second

// licenseServer tells a license client whether its license server answers. That it
// does not is no failure of the run: the server may come later.
func (s *session) licenseServer(ctx context.Context, end *ending) {
	c, _, _, err := config.LoadLicensed(s.m.FS.Real(machine.ConfigDir + "/licensed.toml"))
	if err != nil {
		s.warn(err.Error())
		return
	}
	if c.Role != config.RoleClient {
		return
	}
	end.LicenseServer, end.LicenseState = c.Server, "inaccessible"
	if s.options.Offline {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, reachPatience)
	defer cancel()
	for {
		state, checked, err := s.askLMU(ctx)
		if err == nil && checked {
			end.LicenseState = state
			return
		}
		select {
		case <-ctx.Done():
			s.log.Warn("the license daemon has not asked its license server yet", "server", c.Server, "error", err)
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// askLMU asks the license daemon about its license server.
func (s *session) askLMU(ctx context.Context) (state string, checked bool, err error) {
	out, err := exec.CommandContext(ctx, s.m.FS.Real(machine.Current+"/release/bin/lmu"), "--json").Output()
	if err != nil {
		return "", false, fmt.Errorf("ask lmu: %w", err)
	}
	var answer struct {
		Server struct {
			State   string    `json:"state"`
			Checked time.Time `json:"checked"`
		} `json:"server"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return "", false, fmt.Errorf("ask lmu: %w", err)
	}
	return answer.Server.State, !answer.Server.Checked.IsZero(), nil
}
