//go:build !faults

package cli

// guardEnv is the environment of the guard besides what every process has.
func (s *session) guardEnv() []string {
	return []string{envPrefix + "HEALTH_TIMEOUT=" + s.options.HealthTimeout.String()}
}
