package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestExitCodesTellUsageFromFailure(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "")
	t.Setenv("SS_RELEASE_TOKEN", "")
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", 2, "usage:"},
		{"help", 0, "usage:"},
		{"version", 0, "ss-release "},
		{"sign", 2, `no verb "sign"`},
		{"bundle --colour red", 2, "colour"},
		{"bundle here", 2, "takes flags only"},
		{"keys", 2, "keys needs a word"},
		{"keys lose", 2, "no word"},
		{"keys rotate targets --keys /nowhere", 1, "ss-release keys init --keys /nowhere"},
		{"refresh --keys /nowhere", 1, "ss-release keys init --keys /nowhere"},
		{"promote 7.0.0 nightly --keys /nowhere", 2, "stable and beta"},
		{"withdraw", 2, "takes 1 arguments"},
		{"publish", 2, "needs --bundles"},
		{"announce", 2, "needs --url"},
		{"announce --url https://bot.test/{token}/send", 2, "--token-file"},
		{"authenticode --files a.exe --cert c.pem", 2, "--cert with --key"},
		{"bundle --version 7.0.0", 1, "nothing given for --"},
		{"bundle --version 7.0.0 --bin /nowhere --services /nowhere --setup /nowhere --out /nowhere", 1, "/nowhere"},
		{"packages --out /nowhere", 1, "nothing given for --bundle"},
		{"packages here", 2, "takes flags only"},
		{"packages --bundle /nowhere --out /nowhere", 1, "SOURCE_DATE_EPOCH"},
		{"winget", 2, "needs --out"},
		{"winget --out /nowhere", 1, "--version"},
	} {
		t.Run(c.args, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(strings.Fields(c.args), &stdout, &stderr)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if said := stdout.String() + stderr.String(); !strings.Contains(said, c.says) {
				t.Errorf("said %q, want %q in it", said, c.says)
			}
		})
	}
}

func TestWrongUsageOfAVerbShowsTheUsageOfThatVerbOnly(t *testing.T) {
	for verb := range verbs {
		said := call(t, 2, verb, "--colour")
		says(t, said, "usage:\n  ss-release "+verb+" ")
		if n := strings.Count(said, "\n  ss-release "); n != strings.Count(said, "\n  ss-release "+verb+" ") {
			t.Errorf("%s shows other verbs: %q", verb, said)
		}
	}
	for _, verb := range []string{"scripts", "packages", "winget"} {
		for _, wrong := range []string{"--colour", "here"} {
			if said := call(t, 2, verb, wrong); strings.Count(said, "\n  ss-release ") != 1 {
				t.Errorf("%s %s shows %q", verb, wrong, said)
			}
		}
	}
	says(t, call(t, 0, "publish", "--help"), "usage:\n  ss-release publish ")
}

func TestRotatingAKeySaysWhatMustBeMadeAnew(t *testing.T) {
	keys := t.TempDir()
	madeKeys(t, keys, false)
	says(t, call(t, 0, "keys", "rotate", "timestamp", "--keys", keys), "archive", "ss-release publish --keys "+keys+" --bundles", "docs/releasing.md")
}
