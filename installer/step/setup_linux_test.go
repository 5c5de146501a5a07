package step

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

func newSetUp() *SetUp {
	return &SetUp{Release: oldRelease, SuperAdmin: "sa", Site: "main", User: "anna", Folder: "/srv/ss-server/main"}
}

func TestTheServerIsSetUpWithAnswersThatAreWrittenNowhere(t *testing.T) {
	k := newKit(t)
	const answers = `{"superadmin":{"password":"sesame"}}`
	k.Answers = []byte(answers)
	made := ""
	k.SetUpDone = func(line []byte) { made = string(line) }
	s := newSetUp()
	undo := k.prepare(s)
	must(t, k.do(s))
	runs := k.Programs.(*fakePrograms).runs
	if len(runs) != 1 || !slices.Equal(runs[0].Args, []string{"setup", "--answers", "-", "--json"}) || string(runs[0].Input) != answers || runs[0].User != "" {
		t.Errorf("ran %+v", runs)
	}
	runs[0].Line([]byte(`{"node":"x"}`))
	if made != `{"node":"x"}` {
		t.Errorf("told %q", made)
	}
	text, err := json.Marshal(Plan{Steps: []Step{s}})
	must(t, err)
	if strings.Contains(string(text)+string(undo)+s.String(), "sesame") {
		t.Errorf("the password is in %s or %s", text, undo)
	}
}

// TestARecoveryGoesOnOnlyWithAServerThatIsSetUp: the answers died with the run.
func TestARecoveryGoesOnOnlyWithAServerThatIsSetUp(t *testing.T) {
	k := newKit(t)
	must(t, k.do(newSetUp()))
	programs := k.Programs.(*fakePrograms)
	if !slices.Equal(programs.runs[0].Args, []string{"setup", "--check"}) {
		t.Errorf("ran %+v", programs.runs)
	}
	programs.err = errors.New("exit status 1: this node is not set up yet")
	if err := k.do(newSetUp()); err == nil || !strings.Contains(err.Error(), "the answers are gone with the run that was cut") {
		t.Errorf("%v", err)
	}
}

func TestTheFolderOfAFirstSiteGoesWithASetUpThatIsUndoneUnlessSomethingIsInIt(t *testing.T) {
	for name, c := range map[string]struct {
		before, made, left []string
		warns              bool
	}{
		"made":        {made: []string{".ss-server/key"}},
		"never made":  {},
		"used":        {made: []string{".ss-server/key", "anna/report"}, left: []string{".ss-server/key", "anna/report"}, warns: true},
		"there first": {before: []string{"file"}, made: []string{".ss-server/key"}, left: []string{"file", ".ss-server/key"}},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			s := newSetUp()
			for _, f := range c.before {
				k.file(s.Folder+"/"+f, "x")
			}
			undo := k.prepare(s)
			for _, f := range c.made {
				k.file(s.Folder+"/"+f, "x")
			}
			for range 2 {
				must(t, k.undo(s, undo))
			}
			for _, f := range c.left {
				if !k.FS.Exists(s.Folder + "/" + f) {
					t.Errorf("%s is gone", f)
				}
			}
			if len(c.left) == 0 && k.FS.Exists(s.Folder) {
				t.Error("the folder is left")
			}
			if c.warns != k.warned(s.Folder) {
				t.Errorf("warned: %q", k.warnings)
			}
		})
	}
}
