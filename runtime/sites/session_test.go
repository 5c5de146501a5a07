package sites

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"ss-setup/runtime/model"
	"ss-setup/runtime/vfs"
)

func TestTheLogNamesTheFolderThatCannotBeOpened(t *testing.T) {
	var log bytes.Buffer
	s := &site{name: "main", log: slog.New(slog.NewJSONHandler(&log, nil))}
	s.broken(place{at: vfs.Root.Reserved("shared"), volume: volumeConfig{root: "/srv/x"}}, &model.User{Head: model.Head{Name: "kim"}}, errors.New("gone"))
	if !strings.Contains(log.String(), `"folder":"/shared"`) {
		t.Error(log.String())
	}
}
