package machine

import "time"

// clockGrace forgives a time zone that was set wrong, here or where a release
// was built.
const clockGrace = 24 * time.Hour

// ClockBehind tells whether now lies before a time that is known to have been,
// such as the day a release was built or a receipt was written. Certificates
// made under such a clock would not be valid yet, or for ever.
func ClockBehind(now, known time.Time) bool {
	return !known.IsZero() && now.Before(known.Add(-clockGrace))
}
