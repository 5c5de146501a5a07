//go:build !faults || !linux

package cli

// simulate is where a build for fault tests puts its faults; this one has none.
func (*session) simulate() error { return nil }

// guardEnv is the environment of the guard besides what every process has.
func (s *session) guardEnv() []string {
	return []string{envPrefix + "HEALTH_TIMEOUT=" + s.options.HealthTimeout.String()}
}
