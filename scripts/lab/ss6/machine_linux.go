package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

// home is where version 6 lies, userFiles where its users' files do.
const (
	home      = "/opt/Syncplify/ServerV6"
	userFiles = "/srv/old-files"
)

func programPath(name string) string { return filepath.Join(home, "bin", "ss6-"+name) }

const unit = `[Unit]
Description=Old server, %[1]s
After=network.target

[Service]
ExecStart=%[2]s %[1]s
Restart=on-failure
%[3]s`

const enabling = `
[Install]
WantedBy=multi-user.target
`

// instance is the worker of the only site, where it is one of a template.
const instance = "ss6-worker@default.service"

// startWorker does not wait: systemd may be starting both.
func startWorker() error {
	if out, err := exec.Command("systemctl", "start", "--no-block", instance).CombinedOutput(); err != nil {
		return fmt.Errorf("start the worker: %w: %s", err, out)
	}
	return nil
}

// register makes the services, enables them and starts them. A template is not enabled.
func register(start, template bool) error {
	var units []string
	for _, name := range []string{webrest, worker} {
		file, enabled := "ss6-"+name+".service", enabling
		if template && name == worker {
			file, enabled = "ss6-"+name+"@.service", ""
		} else {
			units = append(units, file)
		}
		if err := os.WriteFile("/etc/systemd/system/"+file, fmt.Appendf(nil, unit, name, programPath(name), enabled), 0o644); err != nil {
			return err
		}
	}
	args := []string{"enable"}
	if start {
		args = append(args, "--now")
	}
	if out, err := exec.Command("systemctl", append(args, units...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("systemctl: %w: %s", err, out)
	}
	return nil
}

// serve runs until it is asked to end.
func serve(_ string, _ []string, begin func() (func(), <-chan error, error)) error {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, os.Interrupt)
	stop, failed, err := begin()
	if err != nil {
		return err
	}
	select {
	case <-asked:
		stop()
		return nil
	case err := <-failed:
		return err
	}
}
