package machine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The host firewalls that are known.
const (
	UFW       = "ufw"
	Firewalld = "firewalld"
	NFTables  = "nftables"
)

const firewallBound = 30 * time.Second

// ruleMark is the comment by which our rules in nftables are found again.
const ruleMark = "ss-server"

// Firewall is the host's own firewall, as far as it keeps others out. The zero
// value is a host without one: everything is open there.
type Firewall struct {
	// Kind is UFW, Firewalld, NFTables or empty.
	Kind string
	// chain is where nftables drops what comes in: "inet filter input".
	chain string
	run   Runner
}

// FindFirewall looks which firewall is at work. Cheap looks at files come first:
// ufw and firewall-cmd are Python programs and take a third of a second each.
func FindFirewall(ctx context.Context, f *FS) (*Firewall, error) {
	if f.Root != "" {
		return &Firewall{}, nil // an image lets nobody in, nor keeps anybody out
	}
	return lookForFirewall(ctx, f, runCommand)
}

func lookForFirewall(ctx context.Context, f *FS, run Runner) (*Firewall, error) {
	if ufwEnabled(f) {
		return &Firewall{Kind: UFW, run: run}, nil
	}
	if hasCommand(f, "firewall-cmd") {
		if _, err := within(ctx, run, firewallBound, "firewall-cmd", "--state"); err == nil {
			return &Firewall{Kind: Firewalld, run: run}, nil
		}
	}
	if !hasCommand(f, "nft") {
		return &Firewall{}, nil
	}
	out, err := within(ctx, run, firewallBound, "nft", "list", "chains")
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("look for a firewall: %w", err)
		}
		// Not allowed to look, or a kernel without nftables: then there is none to tell of.
		return &Firewall{}, nil
	}
	if chain := droppingChain(out); chain != "" {
		return &Firewall{Kind: NFTables, chain: chain, run: run}, nil
	}
	return &Firewall{}, nil
}

func ufwEnabled(f *FS) bool {
	content, err := f.ReadFile("/etc/ufw/ufw.conf")
	if err != nil || !hasCommand(f, "ufw") {
		return false
	}
	for line := range strings.Lines(string(content)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if key == "ENABLED" && strings.EqualFold(strings.Trim(value, `"' `), "yes") {
			return true
		}
	}
	return false
}

func hasCommand(f *FS, name string) bool {
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"} {
		if f.Exists(dir + "/" + name) {
			return true
		}
	}
	return false
}

// droppingChain finds, in what `nft list chains` says, the chain that what comes
// in must pass and is dropped by unless a rule lets it in. Chains of iptables
// look the same there and are changed the same way.
func droppingChain(out string) string {
	var table, chain string
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		switch {
		case len(fields) >= 3 && fields[0] == "table":
			table = fields[1] + " " + fields[2]
		case len(fields) >= 2 && fields[0] == "chain":
			chain = fields[1]
		case strings.Contains(line, "hook input") && strings.Contains(line, "policy drop"):
			// The ip6 half of a pair would let nobody in over IPv4.
			if strings.HasPrefix(table, "inet ") || strings.HasPrefix(table, "ip ") {
				return table + " " + chain
			}
		}
	}
	return ""
}

// OpenCommands are the commands that open ports, as an administrator types them.
func (w *Firewall) OpenCommands(ports []int) []string {
	var lines []string
	for _, argv := range w.openCommands(ports) {
		lines = append(lines, commandLine(argv))
	}
	return lines
}

func commandLine(argv []string) string {
	words := make([]string, len(argv))
	for i, word := range argv {
		words[i] = word
		if strings.ContainsAny(word, " {}\"'$") {
			words[i] = shellQuote(word)
		}
	}
	return strings.Join(words, " ")
}

func (w *Firewall) openCommands(ports []int) [][]string {
	var commands [][]string
	for _, port := range ports {
		tcp := strconv.Itoa(port) + "/tcp"
		switch w.Kind {
		case UFW:
			commands = append(commands, []string{"ufw", "allow", tcp})
		case Firewalld:
			// Once for now and once for the next start: a reload would drop what
			// others have opened for now only.
			commands = append(commands,
				[]string{"firewall-cmd", "--add-port=" + tcp},
				[]string{"firewall-cmd", "--permanent", "--add-port=" + tcp})
		case NFTables:
			// insert, not add: a chain often ends in a rule that rejects the rest.
			line := append([]string{"nft", "insert", "rule"}, strings.Fields(w.chain)...)
			commands = append(commands, append(line, "tcp", "dport", strconv.Itoa(port), "accept", "comment", `"`+ruleMark+`"`))
		}
	}
	return commands
}

// Lasts tells whether what Open does is still there after a restart of the
// machine. Rules of nftables come from a file that only its owner understands.
func (w *Firewall) Lasts() bool { return w.Kind != NFTables }

// Opened tells which of ports are let in already.
func (w *Firewall) Opened(ctx context.Context, ports []int) ([]int, error) {
	switch w.Kind {
	case UFW:
		out, err := w.command(ctx, "ufw", "show", "added")
		if err != nil {
			return nil, err
		}
		return portsWhere(ports, func(port int) bool { return ufwAllows(out, port) }), nil
	case Firewalld:
		return w.openedByFirewalld(ctx, ports)
	case NFTables:
		out, err := w.listChain(ctx)
		if err != nil {
			return nil, err
		}
		return portsWhere(ports, func(port int) bool { return len(ruleHandles(out, port, "")) > 0 }), nil
	}
	return ports, nil
}

func portsWhere(ports []int, open func(int) bool) []int {
	var found []int
	for _, port := range ports {
		if open(port) {
			found = append(found, port)
		}
	}
	return found
}

// ufwAllows looks for a rule from everywhere; one that is narrower does not open
// the port. One that limits how often somebody may come opens it: ufw would put
// ours in its place, and with ours it would go.
func ufwAllows(added string, port int) bool {
	text := strconv.Itoa(port)
	for line := range strings.Lines(added) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " comment ")
		for _, verb := range []string{"ufw allow ", "ufw limit "} {
			if line == verb+text || line == verb+text+"/tcp" {
				return true
			}
		}
	}
	return false
}

func (w *Firewall) openedByFirewalld(ctx context.Context, ports []int) ([]int, error) {
	var found []int
	for _, port := range ports {
		open := true
		for _, scope := range [][]string{nil, {"--permanent"}} {
			argv := append(append([]string{"firewall-cmd"}, scope...), "--query-port="+strconv.Itoa(port)+"/tcp")
			_, err := w.command(ctx, argv...)
			if err != nil && ExitCode(err) != 1 { // 1 is its "no"
				return nil, err
			}
			open = open && err == nil
		}
		if open {
			found = append(found, port)
		}
	}
	return found, nil
}

// Open opens the ports that are not open. It may be repeated.
func (w *Firewall) Open(ctx context.Context, ports []int) error {
	open, err := w.Opened(ctx, ports)
	if err != nil {
		return err
	}
	missing := portsWhere(ports, func(port int) bool { return !slices.Contains(open, port) })
	for _, argv := range w.openCommands(missing) {
		if _, err := w.command(ctx, argv...); err != nil {
			return err
		}
	}
	return nil
}

// Close takes back what Open did; a port that is closed is no error.
func (w *Firewall) Close(ctx context.Context, ports []int) error {
	var errs []error
	for _, port := range ports {
		tcp := strconv.Itoa(port) + "/tcp"
		switch w.Kind {
		case UFW:
			_, err := w.command(ctx, "ufw", "delete", "allow", tcp)
			errs = append(errs, err)
		case Firewalld:
			_, now := w.command(ctx, "firewall-cmd", "--remove-port="+tcp)
			_, later := w.command(ctx, "firewall-cmd", "--permanent", "--remove-port="+tcp)
			errs = append(errs, now, later)
		case NFTables:
			errs = append(errs, w.deleteRules(ctx, port))
		}
	}
	return errors.Join(errs...)
}

func (w *Firewall) deleteRules(ctx context.Context, port int) error {
	out, err := w.listChain(ctx)
	if err != nil {
		return err
	}
	for _, handle := range ruleHandles(out, port, ruleMark) {
		argv := append([]string{"nft", "delete", "rule"}, strings.Fields(w.chain)...)
		if _, err := w.command(ctx, append(argv, "handle", handle)...); err != nil {
			return err
		}
	}
	return nil
}

func (w *Firewall) listChain(ctx context.Context) (string, error) {
	argv := append([]string{"nft", "--handle", "list", "chain"}, strings.Fields(w.chain)...)
	return w.command(ctx, argv...)
}

// ruleHandles finds the plain rules that let a port in, all or those with a
// comment.
func ruleHandles(chain string, port int, comment string) []string {
	var handles []string
	for line := range strings.Lines(chain) {
		rule, handle, ok := strings.Cut(strings.TrimSpace(line), " # handle ")
		if !ok {
			continue
		}
		rule, said, _ := strings.Cut(rule, " comment ")
		if rule == "tcp dport "+strconv.Itoa(port)+" accept" && (comment == "" || strings.Trim(said, `"`) == comment) {
			handles = append(handles, handle)
		}
	}
	return handles
}

func (w *Firewall) command(ctx context.Context, argv ...string) (string, error) {
	out, err := within(ctx, w.run, firewallBound, argv...)
	if err != nil {
		return "", fmt.Errorf("change the firewall %s: %w", w.Kind, err)
	}
	return out, nil
}
