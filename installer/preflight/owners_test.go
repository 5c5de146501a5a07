package preflight

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// guarding has folders of this test looked at.
func guarding(t *testing.T, folders ...string) {
	t.Helper()
	before := guarded
	guarded = folders
	t.Cleanup(func() { guarded = before })
}

func TestAFolderThatSomebodyElseMadeForbidsTheRun(t *testing.T) {
	guarding(t, "/state", "/state/setup")
	f := well()
	f.planted = map[string]string{"/state/setup": "it belongs to S-1-5-21-1-2-3-1001"}
	found := Failed(Run(t.Context(), f, input()))
	if len(found) != 1 || found[0].Name != Ownership || !strings.Contains(found[0].Message, "/state/setup") || !strings.Contains(found[0].Cure, "/state/setup") {
		t.Errorf("failed are %+v", found)
	}
}

func TestAFolderOfWhichNothingCanBeToldForbidsTheRun(t *testing.T) {
	guarding(t, "/state")
	f := well()
	f.broken = errors.New("access is denied")
	if found := Failed(Owners(f)); len(found) != 1 || !strings.Contains(found[0].Message, "access is denied") {
		t.Errorf("failed are %+v", found)
	}
}

func TestAFolderThatGoesWhileItIsLookedAtForbidsNothing(t *testing.T) {
	guarding(t, "/state")
	f := well()
	f.broken = fmt.Errorf("read the access list of /state: %w", fs.ErrNotExist)
	if found := Failed(Owners(f)); len(found) != 0 {
		t.Errorf("failed are %+v", found)
	}
}

// linuxWords are commands, paths and names that Windows does not have.
var linuxWords = regexp.MustCompile(`\b(sudo|root|useradd|getent|df|du|ps|mount|remount|dmesg|lsattr|rm|mv|mkdir|timedatectl|date -s|systemd|systemctl|chmod|chown)\b|/(proc|etc|run|usr|var)\b`)

func TestNoCureForWindowsNamesACommandOfLinux(t *testing.T) {
	there, here := reflect.ValueOf(windowsPhrases), reflect.ValueOf(linuxPhrases)
	for i := range there.NumField() {
		name, text := there.Type().Field(i).Name, there.Field(i).String()
		if text == "" || here.Field(i).String() == "" {
			t.Errorf("%s says nothing", name)
		}
		if word := linuxWords.FindString(text); word != "" {
			t.Errorf("%s names %q: %s", name, word, text)
		}
	}
}

func TestEveryFaultOnWindowsIsToldWithoutWordsOfLinux(t *testing.T) {
	before := say
	say = phrasesOf("windows")
	t.Cleanup(func() { say = before })
	for _, test := range faults() {
		t.Run(test.name, func(t *testing.T) {
			if strings.Contains(test.message, "noexec") {
				return // no volume there forbids to run programs
			}
			f, in := well(), input()
			test.change(f, &in)
			for _, c := range Run(t.Context(), f, in) {
				if c.Status == OK {
					continue
				}
				// The paths and service commands are those of the machine that tests run on.
				text := regexp.MustCompile(`chmod 755 |systemctl unmask \S+|/[\w/.-]+`).ReplaceAllString(c.Message+" "+c.Cure, "")
				if word := linuxWords.FindString(text); word != "" || strings.Contains(text, "%!") {
					t.Errorf("%q in %s; %s", word, c.Message, c.Cure)
				}
			}
		})
	}
}
