package migrate

import (
	"net"
	"strconv"

	"ss-setup/runtime/model"
)

// Listens are the bindings of all sites of a dry run, disabled ones too, as HOST:PORT; an
// empty host is all addresses.
type Listens struct {
	// ByHand are those of sites that somebody has to start, AtStart those of all others.
	ByHand, AtStart []string
}

// listens gathers Listens, whatever comes first.
type listens struct {
	byHand map[string]bool
	all    []*model.Binding
}

func (l *listens) look(o model.Object) {
	switch o := o.(type) {
	case *model.Site:
		l.byHand[o.Name] = o.Manual
	case *model.Binding:
		l.all = append(l.all, o)
	}
}

func (l *listens) places() (out Listens) {
	for _, b := range l.all {
		address := net.JoinHostPort(b.Address, strconv.Itoa(b.Port))
		if l.byHand[b.Site] {
			out.ByHand = append(out.ByHand, address)
		} else {
			out.AtStart = append(out.AtStart, address)
		}
	}
	return out
}
