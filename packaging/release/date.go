package release

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// SourceDate is the time that SOURCE_DATE_EPOCH names; zero when it is not set.
func SourceDate() (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return time.Time{}, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q and not a number of seconds", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
