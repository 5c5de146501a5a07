package convert

import (
	"net/netip"
	"strings"
	"testing"

	"ss-setup/runtime/model"
)

// TestNetworksLessOthersAreExactlyWhatIsLeft tries addresses at and beside every border.
func TestNetworksLessOthersAreExactlyWhatIsLeft(t *testing.T) {
	for _, c := range []struct{ allow, deny string }{
		{"", "192.0.2.0/24"},
		{"192.0.2.0/24", "192.0.2.128/25 192.0.2.1"},
		{"192.0.2.7", "192.0.2.0/24"},
		{"2001:db8::/32", "2001:db8:1::/48"},
		{"192.0.2.10-192.0.2.21 198.51.100.0/24", "192.0.2.12-192.0.2.13"},
		{"*", "0.0.0.0/0"},
		{"192.0.2.0/24 2001:db8::/64", "*"},
		{"0.0.0.0/0", "255.255.255.255 0.0.0.0"},
	} {
		allow, deny := strings.Fields(c.allow), strings.Fields(c.deny)
		list, badAllow, badDeny := Except(allow, deny)
		if len(badAllow)+len(badDeny) > 0 {
			t.Fatalf("%v: %v %v cannot be read", c, badAllow, badDeny)
		}
		var got []string
		for _, n := range list {
			got = append(got, n.Text)
		}
		for _, addr := range borders(allow, deny) {
			want := (len(allow) == 0 || in(addr, allow)) && !in(addr, deny)
			if is := model.Within(addr, got); is != want {
				t.Errorf("%+v: %s is in: %v, want %v; the list is %v", c, addr, is, want, got)
			}
		}
	}
}

// in tells it in the plainest way.
func in(addr netip.Addr, list []string) bool {
	for _, text := range list {
		if text == "*" {
			return true
		}
		if from, to, ok := strings.Cut(text, "-"); ok {
			first, last := netip.MustParseAddr(from), netip.MustParseAddr(to)
			if addr.BitLen() == first.BitLen() && !addr.Less(first) && !last.Less(addr) {
				return true
			}
			continue
		}
		if model.Within(addr, []string{text}) {
			return true
		}
	}
	return false
}

func borders(lists ...[]string) (out []netip.Addr) {
	around := func(a netip.Addr) {
		for _, b := range []netip.Addr{a.Prev(), a, a.Next()} {
			if b.IsValid() {
				out = append(out, b)
			}
		}
	}
	for _, list := range lists {
		for _, text := range list {
			if from, to, ok := strings.Cut(text, "-"); ok {
				around(netip.MustParseAddr(from))
				around(netip.MustParseAddr(to))
			} else if p, err := model.Network(text); err == nil {
				around(p.Addr())
				around(lastOf(p))
			}
		}
	}
	return append(out, netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("fe80::1"))
}

func TestWhatIsNoNetworkIsTold(t *testing.T) {
	_, badAllow, badDeny := Except([]string{"office", "192.0.2.9-192.0.2.1", "192.0.2.1-2001:db8::1"}, []string{"/.*/", ""})
	if len(badAllow) != 3 || len(badDeny) != 1 {
		t.Errorf("%v, %v", badAllow, badDeny)
	}
}

// TestListsWithoutAnEndLockTheirAccount rather than keep a processor busy.
func TestListsWithoutAnEndLockTheirAccount(t *testing.T) {
	var many []string
	for i := range 20_000 {
		many = append(many, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String())
	}
	a := &Account{}
	if a.Addresses(nil, many); len(a.Locks) != 1 {
		t.Errorf("%+v", a.Locks)
	}
	a = &Account{}
	if a.Addresses(many, nil); len(a.Locks) != 1 || len(a.Allow) != maxAllow {
		t.Errorf("%d networks, %+v", len(a.Allow), a.Locks)
	}
}

func TestAFolderIsPartedFromTheOneAboveIt(t *testing.T) {
	for folder, want := range map[string][2]string{
		"/srv/ftp/anna": {"/srv/ftp", "/anna"}, "/srv/ftp/anna/": {"/srv/ftp", "/anna"}, "/data": {"/data", ""}, "/": {"", ""}, "": {"", ""},
		`D:\ftp\anna`: {`D:\ftp`, "/anna"}, `D:\ftp`: {`D:\ftp`, ""}, "/srv/{user}": {"/srv", "/{user}"}, "/srv/x{user}y": {"/srv", "/x{user}y"}, `D:\ftp\{user}\docs`: {`D:\ftp`, "/{user}/docs"}, "/{user}": {"/{user}", ""}, "relative": {"relative", ""},
	} {
		if root, name := splitFolder(folder); root != want[0] || name != want[1] {
			t.Errorf("%q: %q and %q", folder, root, name)
		}
	}
}
