package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// The host firewalls that are known on other systems.
const (
	UFW       = "ufw"
	Firewalld = "firewalld"
	NFTables  = "nftables"
)

// WindowsFirewall is the one of Windows itself.
const WindowsFirewall = "Windows Firewall"

const firewallBound = 30 * time.Second

// Firewall is the host's own firewall, as far as it keeps others out. The zero
// value is a host without one.
type Firewall struct {
	// Kind is WindowsFirewall or empty.
	Kind string
	run  Runner
}

// firewallProfiles is where Windows keeps whether its firewall is on, one key for
// each kind of network.
const firewallProfiles = `HKLM\SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy\`

// FindFirewall looks whether the firewall is on for any kind of network.
func FindFirewall(_ context.Context, f *FS) (*Firewall, error) {
	if f.Root != "" {
		return &Firewall{}, nil
	}
	return findFirewall(NewRegistry(), runCommand)
}

func findFirewall(r Registry, run Runner) (*Firewall, error) {
	for _, profile := range []string{"DomainProfile", "StandardProfile", "PublicProfile"} {
		values, err := r.Read(firewallProfiles + profile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for a firewall: %w", err)
		}
		if values["EnableFirewall"].Number == 1 {
			return &Firewall{Kind: WindowsFirewall, run: run}, nil
		}
	}
	return &Firewall{}, nil
}

func ruleName(port int) string { return "SS Server TCP " + strconv.Itoa(port) }

// OpenCommands are the commands that open ports, as an administrator types them in
// cmd or in PowerShell.
func (w *Firewall) OpenCommands(ports []int) []string {
	if w.Kind == "" {
		return nil
	}
	var lines []string
	for _, port := range ports {
		lines = append(lines, fmt.Sprintf(`powershell -Command "New-NetFirewallRule -DisplayName '%s' -Direction Inbound -Protocol TCP -LocalPort %d -Action Allow"`, ruleName(port), port))
	}
	return lines
}

// Lasts tells whether what Open does survives a restart.
func (*Firewall) Lasts() bool { return true }

// Opened tells which of ports a rule of ours lets in already. What netsh says is
// translated; the name of the rule is not.
func (w *Firewall) Opened(ctx context.Context, ports []int) ([]int, error) {
	if w.Kind == "" {
		return ports, nil
	}
	var open []int
	for _, port := range ports {
		// It ends with 1 when there is no such rule.
		out, err := w.netsh(ctx, "show", "rule", "name="+ruleName(port))
		if err != nil && ctx.Err() != nil {
			return nil, fmt.Errorf("ask the firewall: %w", err)
		}
		if err == nil && strings.Contains(out, ruleName(port)) {
			open = append(open, port)
		}
	}
	return open, nil
}

// Open lets ports in. It may be repeated.
func (w *Firewall) Open(ctx context.Context, ports []int) error {
	if w.Kind == "" {
		return nil
	}
	open, err := w.Opened(ctx, ports)
	if err != nil {
		return err
	}
	done := map[int]bool{}
	for _, port := range open {
		done[port] = true
	}
	for _, port := range ports {
		if done[port] {
			continue
		}
		if _, err := w.netsh(ctx, "add", "rule", "name="+ruleName(port), "dir=in", "action=allow", "protocol=TCP", "localport="+strconv.Itoa(port)); err != nil {
			return fmt.Errorf("change the firewall: %w", err)
		}
	}
	return nil
}

// Close takes back what Open did; a port that is closed is no error.
func (w *Firewall) Close(ctx context.Context, ports []int) error {
	open, err := w.Opened(ctx, ports)
	if err != nil || w.Kind == "" {
		return err
	}
	var errs []error
	for _, port := range open {
		if _, err := w.netsh(ctx, "delete", "rule", "name="+ruleName(port)); err != nil {
			errs = append(errs, fmt.Errorf("change the firewall: %w", err))
		}
	}
	return errors.Join(errs...)
}

func (w *Firewall) netsh(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, firewallBound)
	defer cancel()
	return w.run(ctx, append([]string{"netsh", "advfirewall", "firewall"}, args...)...)
}
