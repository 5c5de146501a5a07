package machine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Addresses lists the addresses under which other machines may reach this one,
// IPv4 first: those of interfaces that are up, without loopback, link-local ones
// and the inner bridges of containers and virtual machines.
func Addresses() ([]netip.Addr, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network addresses: %w", err)
	}
	var found []netip.Addr
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 || isInner(i.Name) {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // gone meanwhile
		}
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil && isReachable(prefix.Addr()) {
				found = append(found, prefix.Addr().Unmap())
			}
		}
	}
	slices.SortFunc(found, netip.Addr.Compare) // which puts IPv4 before IPv6
	return slices.Compact(found), nil
}

// CanListen tells why no program of this machine can listen at host, an address or a name;
// nil where one can, and for no host, which is all addresses.
func CanListen(ctx context.Context, host string) error {
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return fmt.Errorf("listen at %s: %w", host, err)
	}
	return l.Close()
}

func isReachable(a netip.Addr) bool {
	return a.IsValid() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsMulticast() && !a.IsUnspecified()
}

// isInner knows the interfaces that lead to the machine's own guests only.
func isInner(name string) bool {
	for _, prefix := range []string{"docker", "br-", "veth", "virbr", "vnet", "cni", "flannel", "cali", "lxcbr", "lxdbr", "podman"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
