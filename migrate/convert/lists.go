package convert

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// ListEntry is an address or network of a list.
type ListEntry struct {
	List     model.List
	Network  string
	Notes    string
	Reason   string
	Offences int64
	// Temporary entries end at Expires.
	Temporary bool
	Expires   Moment
}

// Entry takes over an entry of a list.
func (s *Site) Entry(e ListEntry) error { return s.entry(e) }

func (s *Site) entry(e ListEntry) error {
	item, ok := s.item(report.ListEntry, string(e.List)+" "+e.Network)
	if !ok {
		return nil
	}
	defer item.Done()
	p, err := model.Network(strings.TrimSpace(e.Network))
	if err != nil {
		item.Drop(report.Lists, "it is no address or network", "write it anew")
		return nil
	}
	entry := &model.Entry{Site: s.Name, List: e.List, Network: p.String(), Notes: plainText(e.Notes), Reason: reason(e.Reason), Offences: int(min(max(e.Offences, 0), 1<<30))}
	if e.Temporary {
		switch shown, unread := e.Expires.unread(); {
		case unread || e.Expires.Time.IsZero():
			item.Change(report.Lists, "it was to end on a day that cannot be read, and has no end now: "+cmp.Or(shown, "nothing"), "set its end, or take it away")
		case !e.Expires.Time.After(s.c.opt.Time()):
			item.Drop(report.Lists, "its time is over", "")
			return nil
		default:
			entry.Expires = e.Expires.Time
		}
	}
	if e.List == model.ListSafe && p.Bits() == 0 {
		item.Drop(report.Lists, "it would have everybody on the safe list", "name the addresses of your own machines")
		return nil
	}
	entry.Normalize()
	if !s.c.claim(model.KindEntry, s.Name, entry.Name) {
		item.Drop(report.Duplicates, "the list has it already", "")
		return nil
	}
	return s.c.give(item, entry, nil)
}

func reason(text string) model.Reason {
	w := Bare(text)
	switch {
	case strings.Contains(w, "hammer"), strings.Contains(w, "flood"):
		return model.ReasonHammering
	case strings.Contains(w, "auth"):
		return model.ReasonAuth
	case strings.Contains(w, "proto"):
		return model.ReasonProtocol
	}
	return model.ReasonManual
}

// Binding is where a site listened.
type Binding struct {
	Node string
	// Service is as the old product calls it.
	Service string
	SFTP    bool
	// Version is 4 or 6 for one family of addresses, else both.
	Version int
	Address string
	Port    int64
	// Proxy tells that a load balancer tells the client's address.
	Proxy bool
	Raw   string
}

// whole tells whether it is for all addresses of a family and for users' own connections.
func (b Binding) whole(family int) bool {
	own := map[int]string{4: "0.0.0.0", 6: "::"}[family]
	address := strings.TrimSpace(b.Address)
	return b.SFTP && !b.Proxy && b.Version == family && (address == "" || address == "*" || address == own)
}

// Bindings takes over where a site listens. A binding for all addresses of IPv4 and one for
// all of IPv6 at the same port are one here, which has both families.
func (s *Site) Bindings(list []Binding) error {
	for _, b := range list {
		twin := func(family int) bool {
			return slices.ContainsFunc(list, func(o Binding) bool { return o.whole(family) && o.Port == b.Port && o.Node == b.Node })
		}
		if b.whole(4) && twin(6) || b.whole(6) && twin(4) {
			b.Version, b.Address = 0, ""
		}
		if err := s.Binding(b); err != nil {
			return err
		}
	}
	return nil
}

// Binding takes over one place where a site listens.
func (s *Site) Binding(old Binding) error {
	shown := old.Address
	if shown == "" {
		shown = "*"
	}
	item, ok := s.item(report.Binding, fmt.Sprintf("%s %s:%d", old.Service, shown, old.Port))
	if !ok {
		return nil
	}
	defer item.Done()
	if s.c.bindings++; s.c.bindings > maxBindings {
		return tooMany(maxBindings, "bindings")
	}
	if !old.SFTP {
		item.Keep(report.Bindings, fmt.Sprintf("the protocol %.40q is not served here", old.Service), "")
		return s.c.keep(s.Name, "binding", fmt.Sprintf("%s-%d", old.Service, old.Port), old.Raw)
	}
	if old.Node != "" && old.Node != s.c.home && s.c.home != "" {
		item.Keep(report.Bindings, fmt.Sprintf("it belongs to the node %.60q, which is not this machine", old.Node), "make it anew when that node has joined")
		return s.c.keep(s.Name, "binding", fmt.Sprintf("%s-%s-%d", old.Node, old.Service, old.Port), old.Raw)
	}
	b := &model.Binding{Site: s.Name, Node: s.c.node, Protocol: model.ProtocolSFTP, Address: strings.TrimSpace(old.Address), Port: int(old.Port)}
	switch {
	case b.Address == "*" || b.Address == "0.0.0.0" && old.Version == 0:
		b.Address = ""
	case b.Address == "" && old.Version == 4:
		b.Address = "0.0.0.0"
	case (b.Address == "" || b.Address == "::") && old.Version == 6:
		b.Address, b.Disabled = "::", true
		item.Disable(report.Bindings, "it was for all addresses of IPv6 alone, which cannot be here: those of IPv4 would be open as well", "enable it if they may, and disable a binding of IPv4 that has its port")
	}
	if at := slices.IndexFunc(s.c.bound, s.has(b, old.Proxy)); at >= 0 {
		item.Change(report.Bindings, fmt.Sprintf("it is one with the site's binding %s, which has its addresses as well", s.c.bound[at].Name), "")
		return nil
	}
	if s.bindings++; s.bindings == 1 {
		b.Name = "sftp"
	} else {
		b.Name = fmt.Sprintf("sftp-%d", s.bindings)
	}
	if old.Proxy {
		b.Disabled = true
		item.Disable(report.Bindings, "a load balancer tells it the address of clients, and here it must be known which one", "write the address of the load balancer into proxyFrom and enable it")
	}
	b.Normalize()
	if at := slices.IndexFunc(s.c.bound, b.Clashes); at >= 0 && !b.Disabled {
		b.Disabled = true
		item.Disable(report.Bindings, fmt.Sprintf("a binding of site %s listens there already", s.c.bound[at].Site), "choose another port or address and enable it")
	}
	s.atHome(item, b.Address)
	s.c.bound = append(s.c.bound, model.Clone(b))
	open := !b.Disabled
	if err := s.c.give(item, b, nil); err != nil {
		return err
	}
	if open && !item.Dropped() {
		s.open++
	}
	return nil
}

// has tells bindings of the site that serve wherever another one would.
func (s *Site) has(b *model.Binding, proxy bool) func(*model.Binding) bool {
	return func(o *model.Binding) bool {
		same := o.Address == "" || o.Address == b.Address
		return same && o.Site == s.Name && o.Node == b.Node && o.Port == b.Port && !o.Disabled && !b.Disabled && !proxy
	}
}

// atHome tells of an address that this machine does not have.
func (s *Site) atHome(item *report.Item, address string) {
	addr, err := netip.ParseAddr(address)
	if err != nil || addr.IsUnspecified() || len(s.c.opt.Addresses) == 0 || slices.Contains(s.c.opt.Addresses, addr) {
		return
	}
	item.Action(report.Bindings, fmt.Sprintf("this machine does not have the address %s, so nobody can be served there", addr), "give the machine the address, or change the binding")
}
