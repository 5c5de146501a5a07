package protector

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Offence is bad behaviour.
type Offence string

// The offences.
const (
	// BadLogin is a wrong password, code or key, or an account that may not log in.
	BadLogin Offence = "log-in refused"
	// NoLogin is a connection that ends without an attempt to log in.
	NoLogin Offence = "left without log-in"
	// BadProtocol is something other than the protocol, or a packet that breaks it.
	BadProtocol Offence = "protocol broken"
	// BadRequest is a request that fails: a file that is not there, a right that the
	// user does not have.
	BadRequest Offence = "request failed"
)

// Level says how much is put up with.
type Level string

// The levels.
const (
	// Indulgent counts log-ins that are refused, and nothing else.
	Indulgent Level = "indulgent"
	// Normal counts also visitors that do not log in or do not speak the protocol.
	Normal Level = "normal"
	// Strict counts also requests that fail.
	Strict Level = "strict"
	// Paranoid counts as Strict, and everything double.
	Paranoid Level = "paranoid"
)

// weights is what an offence counts at a level.
var weights = map[Level]map[Offence]float64{
	Indulgent: {BadLogin: 1},
	Normal:    {BadLogin: 1, NoLogin: 1, BadProtocol: 1},
	Strict:    {BadLogin: 1, NoLogin: 1, BadProtocol: 1, BadRequest: 1},
	Paranoid:  {BadLogin: 2, NoLogin: 2, BadProtocol: 2, BadRequest: 2},
}

// Levels in the order of how little they put up with.
func Levels() []Level { return []Level{Indulgent, Normal, Strict, Paranoid} }

// Settings are what an administrator sets.
type Settings struct {
	Level Level
	// Threshold is the score at which an address is banned.
	Threshold int
	// Window is the time in which the offences are counted. The score sinks with it.
	Window time.Duration
	// Ban is how long the first ban lasts.
	Ban time.Duration
	// Growth is by how much per cent a ban grows when the address tries meanwhile, and
	// with each further ban. 0 to 1000.
	Growth int
	// MaxBan bounds what a ban grows to.
	MaxBan time.Duration
}

// Defaults are the settings of a new site.
func Defaults() Settings {
	return Settings{
		Level: Normal, Threshold: 10, Window: 10 * time.Minute,
		Ban: 30 * time.Minute, Growth: 50, MaxBan: 7 * 24 * time.Hour,
	}
}

// Check says what is wrong with s.
func (s Settings) Check() error {
	var wrong []error
	if !slices.Contains(Levels(), s.Level) {
		wrong = append(wrong, fmt.Errorf("level %q is not known; there are indulgent, normal, strict and paranoid", s.Level))
	}
	if s.Threshold <= 0 || s.Window <= 0 || s.Ban <= 0 {
		wrong = append(wrong, errors.New("threshold, window and ban must be more than nothing"))
	}
	if s.Growth < 0 || s.Growth > 1000 {
		wrong = append(wrong, fmt.Errorf("growth of %d per cent is not between 0 and 1000", s.Growth))
	}
	if s.MaxBan < s.Ban {
		wrong = append(wrong, fmt.Errorf("the longest ban, %s, is shorter than the first, %s", s.MaxBan, s.Ban))
	}
	return errors.Join(wrong...)
}
