// Package service names the commands by which an administrator looks after the
// services of a release: messages name a command in full, as it works on that
// machine. It runs nothing.
package service

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// The service managers, as ss-setup names them.
const (
	Systemd = "systemd"
	OpenRC  = "openrc"
	SysV    = "sysv"
	Windows = "windows"
)

// Manager tells which one runs on this machine.
func Manager() string {
	if runtime.GOOS == "windows" {
		return Windows
	}
	for dir, name := range map[string]string{"/run/systemd/system": Systemd, "/run/openrc": OpenRC} {
		if _, err := os.Stat(dir); err == nil {
			return name
		}
	}
	return SysV
}

// StartCommand starts a service.
func StartCommand(manager, name string) string { return command(manager, "start", name) }

// RestartCommand restarts a service, as somebody types it.
func RestartCommand(manager, name string) string { return command(manager, "restart", name) }

func command(manager, verb, name string) string {
	switch manager {
	case Systemd:
		return "systemctl " + verb + " " + name
	case OpenRC:
		return "rc-service " + name + " " + verb
	case Windows: // one command that cmd.exe and PowerShell both take
		return "powershell -Command " + map[string]string{"start": "Start", "restart": "Restart"}[verb] + "-Service " + name
	}
	return "service " + name + " " + verb
}

// EnableCommands enable services and start them.
func EnableCommands(manager string, names ...string) []string {
	return each(manager, names, map[string]string{
		Systemd: "systemctl enable --now %s",
		OpenRC:  "rc-update add %[1]s default && rc-service %[1]s start",
		SysV:    "update-rc.d %[1]s defaults && service %[1]s start",
		Windows: "sc.exe config %[1]s start= auto && sc.exe start %[1]s",
	})
}

// DisableCommands stop services and keep them from starting with the machine.
func DisableCommands(manager string, names ...string) []string {
	return each(manager, names, map[string]string{
		Systemd: "systemctl disable --now %s",
		OpenRC:  "rc-service %[1]s stop && rc-update del %[1]s",
		SysV:    "service %[1]s stop && update-rc.d %[1]s remove",
		Windows: "sc.exe stop %[1]s && sc.exe config %[1]s start= disabled",
	})
}

func each(manager string, names []string, formats map[string]string) []string {
	if manager == Systemd && len(names) > 0 {
		names = []string{strings.Join(names, " ")}
	}
	var out []string
	for _, name := range names {
		out = append(out, fmt.Sprintf(formats[manager], name))
	}
	return out
}

// AsRoot is a command as the user of this process types it who needs root's rights.
func AsRoot(command string) string {
	if runtime.GOOS == "windows" {
		return command + " (in a terminal that was opened with Run as administrator)"
	}
	_, err := exec.LookPath("sudo")
	return asRoot(command, os.Geteuid() <= 0, err == nil)
}

func asRoot(command string, root, sudo bool) string {
	switch {
	case root:
		return command
	case sudo:
		return "sudo " + command
	}
	return "su -c '" + command + "'"
}

// systemLogs are where the system log lies on one distribution or another.
var systemLogs = []string{"/var/log/syslog", "/var/log/messages", "/var/log/daemon.log"}

// LogCommand shows what a service said last. It is empty on a machine that keeps no
// log; the start command then tells why a service does not run.
func LogCommand(manager, name string) string { return logCommand(manager, name, systemLogs) }

func logCommand(manager, name string, logs []string) string {
	switch manager {
	case Systemd:
		return "journalctl -u " + name + " -n 30 --no-pager"
	case Windows:
		return `wevtutil qe Application /q:"*[System[Provider[@Name='` + name + `']]]" /c:30 /rd:true /f:text`
	}
	for _, file := range logs {
		if _, err := os.Stat(file); err == nil {
			return fmt.Sprintf("grep %s %s | tail -n 30", name, file)
		}
	}
	return ""
}
