package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// The machines with an address share one bridge in a network namespace of its own;
// the host's interfaces and routes are never touched.
const (
	switchNS = "lab-sw"
	gateway  = "10.77.0.254"
	// A bridge without an address of its own takes the lowest of its ports, and changes it
	// as machines come and go; the others then send to one that is gone, for two minutes.
	gatewayMAC = "02:00:0a:4d:00:fe"
)

func namespaceFile(name string) string { return filepath.Join("/run/netns", name) }

func (m *Machine) namespace() string   { return "lab-" + m.Name }
func (m *Machine) networkFile() string { return namespaceFile(m.namespace()) }
func (m *Machine) cable() string       { return "v-" + m.Name }

// makeNetwork makes what outlives a restart: the namespace and, with an address, the
// cable to the switch.
func (m *Machine) makeNetwork() error {
	if err := makeNamespace(m.namespace()); err != nil || m.spec.IP == "" {
		return err
	}
	if err := installPackages("ip:iproute2", "nft:nftables"); err != nil {
		return err
	}
	return locked(func() error {
		if err := makeSwitch(); err != nil {
			return err
		}
		return ip(
			"link add "+m.cable()+" netns "+switchNS+" type veth peer name eth0 netns "+m.namespace(),
			"-n "+switchNS+" link set "+m.cable()+" master br0 up",
			"-n "+m.namespace()+" addr add "+m.spec.IP+"/24 dev eth0",
			"-n "+m.namespace()+" link set eth0 up",
			"-n "+m.namespace()+" route add default via "+gateway,
		)
	})
}

// Listen opens a port on the network of the machines, at an address that each of them
// reaches. It is closed with the test.
func Listen(t T) net.Listener {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("needs root: listens on the network of machines (%s)", t.Name())
	}
	var l net.Listener
	err := installPackages("ip:iproute2", "nft:nftables")
	if err == nil {
		err = locked(makeSwitch)
	}
	if err == nil {
		err = onThread(func() error {
			ns, err := os.Open(namespaceFile(switchNS))
			if err != nil {
				return err
			}
			defer ns.Close()
			// A socket belongs for ever to the network namespace it was made in.
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return err
			}
			l, err = net.Listen("tcp", gateway+":0")
			return err
		})
	}
	if err != nil {
		t.Fatalf("lab: listen on the network of machines: %v", err)
	}
	t.Cleanup(func() { _ = l.Close() }) // closed already: just as well
	return l
}

func (m *Machine) removeNetwork() error {
	file := m.networkFile()
	if err := unix.Unmount(file, unix.MNT_DETACH); err != nil && err != unix.ENOENT && err != unix.EINVAL {
		return fmt.Errorf("unmount %s: %w", file, err)
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func makeSwitch() error {
	if _, err := os.Stat(namespaceFile(switchNS)); err == nil {
		return nil
	}
	if err := makeNamespace(switchNS); err != nil {
		return err
	}
	return ip(
		"-n "+switchNS+" link add br0 address "+gatewayMAC+" type bridge",
		"-n "+switchNS+" addr add "+gateway+"/24 dev br0",
		"-n "+switchNS+" link set br0 up",
	)
}

// makeNamespace makes a named network namespace, as "ip netns add" does, with its
// loopback up.
func makeNamespace(name string) error {
	file := namespaceFile(name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, nil, 0o444); err != nil {
		return err
	}
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("new network namespace: %w", err)
		}
		if err := unix.Mount("/proc/thread-self/ns/net", file, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("keep network namespace %s: %w", name, err)
		}
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(s)
		lo, err := unix.NewIfreq("lo")
		if err != nil {
			return err
		}
		lo.SetUint16(unix.IFF_UP)
		return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo)
	})
}

// ip runs several ip commands.
func ip(commands ...string) error {
	for _, c := range commands {
		if out, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", c, err, out)
		}
	}
	return nil
}

// onSwitch runs a command in the switch's namespace.
func onSwitch(args ...string) (string, error) {
	out, err := exec.Command("ip", append([]string{"netns", "exec", switchNS}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func (m *Machine) network(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatalf("lab: network of %s: %v", m.Name, err)
	}
}

// Cut pulls the machine's network cable.
func (m *Machine) Cut() {
	m.t.Helper()
	m.network(ip("-n " + switchNS + " link set " + m.cable() + " down"))
}

// Heal plugs it in again.
func (m *Machine) Heal() {
	m.t.Helper()
	m.network(ip("-n " + switchNS + " link set " + m.cable() + " up"))
}

// DropTo loses all packets from this machine to another, in that direction only.
func (m *Machine) DropTo(other *Machine) {
	m.t.Helper()
	m.network(addRule(fmt.Sprintf("iifname %s oifname %s drop comment %q", m.cable(), other.cable(), m.Name+">"+other.Name)))
}

// UndropTo ends DropTo.
func (m *Machine) UndropTo(other *Machine) {
	m.t.Helper()
	rules, err := onSwitch("nft", "-a", "list", "table", "bridge", "lab")
	m.network(err)
	rule := regexp.MustCompile(fmt.Sprintf(`comment "%s>%s" # handle (\d+)`, m.Name, other.Name))
	for _, found := range rule.FindAllStringSubmatch(rules, -1) {
		_, err := onSwitch("nft", "delete", "rule", "bridge", "lab", "f", "handle", found[1])
		m.network(err)
	}
}

// Loss loses a percentage of the packets to this machine.
func (m *Machine) Loss(percent int) {
	m.t.Helper()
	m.network(addRule(fmt.Sprintf("oifname %s numgen random mod 100 < %d drop", m.cable(), percent)))
}

// Rate limits the packets to this machine, as tc writes rates: 256kbit.
func (m *Machine) Rate(rate string) {
	m.t.Helper()
	_, err := onSwitch("tc", "qdisc", "replace", "dev", m.cable(), "root", "tbf", "rate", rate, "burst", "16kb", "latency", "400ms")
	m.network(err)
}

// ClearNetwork undoes DropTo and Loss everywhere, and Rate for this machine.
func (m *Machine) ClearNetwork() {
	m.t.Helper()
	// Neither need be there.
	_, _ = onSwitch("nft", "delete", "table", "bridge", "lab")
	_, _ = onSwitch("tc", "qdisc", "del", "dev", m.cable(), "root")
}

func addRule(rule string) error {
	const table = "table bridge lab {\n chain f {\n type filter hook forward priority 0;\n }\n}\n" // nft wants the newlines
	if _, err := onSwitch("nft", table); err != nil {
		return err
	}
	_, err := onSwitch("nft", "add rule bridge lab f "+rule)
	return err
}
