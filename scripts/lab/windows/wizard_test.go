//go:build linux && lab

package windows

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// The exit codes of the design that only the wizard meets.
const (
	cancelled   = 1602
	checkFailed = 15613
)

func TestTheWizardIsClickedThroughAndTheCommandLineGoesOn(t *testing.T) {
	forgetShots(t)
	b := bootWizards(t, "7.0.0", "7.0.1")

	w := b.open("7.0.0", "SS_SETUP_HEALTH_TIMEOUT="+healthTimeout.String())
	w.says("Welcome to SS Server 7.0.0")
	w.shot("welcome")
	w.click("Next >")
	w.says("Press Page Down")
	w.shot("license-text")
	w.click("I Agree")
	w.says("Where does this machine get its licenses from?")
	w.shot("licenses")
	w.click("Network client")
	w.fill(0, "licenses.example.com:70000")
	w.click("Next >")
	w.says(`License server: "licenses.example.com:70000" is not NAME or NAME:PORT`)
	w.shot("licenses-refused")
	w.click("OK")
	w.fill(0, "licenses.example.com")
	w.shot("licenses-client")
	w.click("Next >")
	w.says("Port of the web interface")
	w.fill(1, "2391")
	w.shot("ports")
	w.click("Install")
	w.find("half of a bar", func(c control) bool { return c.Value > 5000 })
	w.shot("progress")
	w.says("SS Server 7.0.0 is installed")
	w.shot("finished")
	w.says("https://127.0.0.1:6443/init/setup")
	w.says("Setup code, valid until")
	w.says("License server licenses.example.com:2380: inaccessible")
	text := w.says("It took")
	if !strings.Contains(text, "SHA-256 of the certificate:") || !strings.Contains(text, "Log: C:\\") {
		t.Errorf("the last page says only\n%s", text)
	}
	if strings.Contains(text, "SS_SETUP_") {
		t.Errorf("the last page tells of a variable that the wizard has set:\n%s", text)
	}
	w.click("Finish")
	w.ends(done)
	b.serves("7.0.0")
	b.verified()
	byWizard := b.receipt(1)
	if config := b.MustExec("cat", drive+"/ProgramData/SS Server/config/licensed.toml"); !strings.Contains(config, "licenses.example.com:2380") || !strings.Contains(config, "2391") {
		t.Errorf("the answers are not in the configuration:\n%s", config)
	}
	if out, _, _ := b.run(nil, b.program("lmu")); !strings.Contains(out, "inaccessible") {
		t.Errorf("lmu does not show the license server as inaccessible:\n%s", out)
	}

	// The command line goes on, and the wizard goes on with what that has made.
	b.want(done, setupOf("7.0.1"), "install", "--update")
	b.serves("7.0.1")
	b.verified()
	if config := b.MustExec("cat", drive+"/ProgramData/SS Server/config/licensed.toml"); !strings.Contains(config, "licenses.example.com:2380") {
		t.Errorf("the update lost the answers:\n%s", config)
	}
	b.MustExec("sh", "-c", "echo broken > '"+drive+"/Program Files/SS Server/lmu.cmd'")
	w = b.open("7.0.1")
	w.says("SS Server 7.0.1 is installed")
	w.shot("same-version")
	w.click("Next >")
	w.says("Puts right every file")
	w.shot("repair-or-remove")
	w.click("Repair")
	w.says("SS Server 7.0.1 is repaired")
	w.shot("repaired")
	w.click("Finish")
	w.ends(done)
	b.serves("7.0.1")
	b.verified()

	w = b.open("7.0.0")
	w.says("Nothing was changed")
	w.says("A newer version is installed")
	w.shot("newer-installed")
	w.click("Finish")
	w.ends(newerInstalled)

	w = b.open("7.0.1")
	w.click("Next >")
	w.says("Puts right every file")
	w.click("Remove")
	w.click("Remove the data and settings as well")
	w.shot("remove")
	w.press(w.find("button that leads on", func(c control) bool { return c.Text == "Re&move" && c.Top > 400 }))
	w.says("Remove SS Server and all its data?")
	w.shot("remove-sure")
	w.click("Yes")
	w.says("SS Server is removed")
	w.shot("removed")
	w.click("Finish")
	w.ends(done)
	if b.registered(servicesKey+"ss-server") || b.registered(productKey) || b.exists("ProgramData/SS Server/data") {
		t.Error("something is left")
	}

	// The same answers on the command line give the same receipt.
	b.want(done, setupOf("7.0.0"), "install", "--license-mode", "client", "--license-server", "licenses.example.com", "--license-port", "2391")
	if byHand := b.receipt(1); byHand != byWizard {
		t.Errorf("the receipts differ; of the wizard\n%s\nof the command line\n%s", byWizard, byHand)
	}
}

// forgetShots removes the pictures of an earlier run of a test.
func forgetShots(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(shots + "/" + t.Name()); err != nil {
		t.Fatal(err)
	}
}

// receipt is that of a generation without what no two installations share: the time it
// was written, and the secrets for probes.
func (b *box) receipt(generation int) string {
	b.t.Helper()
	var r map[string]any
	text := b.MustExec("sh", "-c", "cat '"+drive+"/ProgramData/SS Server/setup/receipts/'$1.json", "sh", string(rune('0'+generation)))
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		b.t.Fatal(err)
	}
	delete(r, "created")
	for _, f := range r["files"].([]any) {
		if file := f.(map[string]any); strings.HasSuffix(file["path"].(string), "probe.key") {
			delete(file, "sha256")
		}
	}
	out, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		b.t.Fatal(err)
	}
	return string(out)
}

func TestASilentWizardEndsWithTheCodeOfTheCommandLine(t *testing.T) {
	b := bootWizards(t, "7.0.0", "7.0.1", "7.0.2-migrate-fails")
	silent := func(want int, release string, env ...string) {
		t.Helper()
		if got := b.exitCode(env, setupProgram(release), "/S"); got != want {
			t.Errorf("%s /S %v ends with %d, want %d\n%s", release, env, got, want, b.logs())
		}
		if b.exists("Program Files/SS Server Setup") {
			t.Errorf("%s left its folder behind", release)
		}
	}
	if got := b.exitCode(nil, setupProgram("7.0.0"), "/S", "/Q"); got != wrongUsage {
		t.Errorf("an unknown option ends with %d", got)
	}
	silent(wrongUsage, "7.0.0", "SS_SETUP_WEB_PORT=70000")
	silent(done, "7.0.0", "SS_SETUP_LICENSE_PORT=2392")
	b.serves("7.0.0")
	b.verified()
	silent(done, "7.0.0")
	silent(done, "7.0.1")
	b.serves("7.0.1")
	b.verified()
	if config := b.MustExec("cat", drive+"/ProgramData/SS Server/config/licensed.toml"); !strings.Contains(config, "2392") {
		t.Errorf("the update lost the answers:\n%s", config)
	}
	silent(newerInstalled, "7.0.0")
	before := b.state()
	silent(putBack, "7.0.2-migrate-fails")
	b.serves("7.0.1")
	b.settled()
	if d := differs(before, b.state()); d != "" {
		t.Errorf("the machine is not as before:\n%s", d)
	}
	// It failed here before: nobody can be asked whether to try it again.
	silent(wrongUsage, "7.0.2-migrate-fails")
	silent(putBack, "7.0.2-migrate-fails", "SS_SETUP_YES=true")
	b.want(done, installed, "rollback", "--yes")
	b.serves("7.0.0")
	silent(done, "7.0.1")
	b.serves("7.0.1")

	// What Apps & Features runs is the same whoever has installed.
	if got := b.exitCode(nil, installed, "uninstall", "--silent"); got != done {
		t.Errorf("the uninstall ends with %d", got)
	}
	if quiet := b.value(productKey, "QuietUninstallString"); quiet != "" {
		t.Errorf("it is still in Apps & Features: %s", quiet)
	}
	silent(done, "7.0.1")
	b.serves("7.0.1")
}

func TestAReleaseThatFailsInTheWizardIsPutBackAndTold(t *testing.T) {
	forgetShots(t)
	b := bootWizards(t, "7.0.0", "7.0.1", "7.0.2-wrong-version")
	b.want(done, setupOf("7.0.0"), "install")
	before := b.state()
	w := b.open("7.0.2-wrong-version", "SS_SETUP_HEALTH_TIMEOUT=10s")
	w.says("Update SS Server 7.0.0 to 7.0.2")
	w.shot("welcome-update")
	w.click("Next >")
	w.click("I Agree")
	w.says("Put back: ")
	w.shot("going-back")
	w.says("Everything was put back")
	w.says("SS Server 7.0.0 serves as before")
	text := w.says("answers as version 7.0.2-wrong")
	for _, want := range []string{"everything was put back", "What to do:", "Log: C:\\"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not tell %q:\n%s", want, text)
		}
	}
	w.shot("failed")
	w.click("Finish")
	w.ends(putBack)
	b.serves("7.0.0")
	b.settled()
	if d := differs(before, b.state()); d != "" {
		t.Errorf("the machine is not as before:\n%s", d)
	}

	// The second time it asks first.
	w = b.open("7.0.2-wrong-version")
	w.click("Next >")
	w.click("I Agree")
	w.says("failed here before. Try it again?")
	w.shot("failed-before")
	w.click("No")
	w.click("Cancel")
	w.says("Leave this setup?")
	w.click("Yes")
	w.ends(cancelled)

	// A person changes their mind, before the run and in it.
	w = b.open("7.0.1")
	w.says("Update SS Server 7.0.0 to 7.0.1")
	w.click("Cancel")
	w.says("Leave this setup?")
	w.shot("leave")
	w.click("Yes")
	w.ends(cancelled)
	w = b.open("7.0.1")
	w.click("Next >")
	w.click("I Agree")
	w.find("moving bar", func(c control) bool { return c.Value > 0 })
	w.click("Cancel")
	w.says("Stop, and put everything back as it was?")
	w.shot("stop")
	w.click("Yes")
	w.says("Cancelled by the user")
	w.shot("stopped")
	w.click("Finish")
	w.ends(cancelled)
	b.serves("7.0.0")
	b.verified()
}
