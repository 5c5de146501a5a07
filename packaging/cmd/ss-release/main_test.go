package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestExitCodesTellUsageFromFailure(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "")
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
