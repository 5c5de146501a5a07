package sites

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/pires/go-proxyproto"

	"ss-setup/runtime/model"
)

// binding is a place where a site listens, or should.
type binding struct {
	model    *model.Binding
	listener net.Listener // nil if it does not listen
	problem  error
}

// same tells whether a listener is what another binding would open.
func same(a, b *model.Binding) bool {
	return a.Address == b.Address && a.Port == b.Port && slices.Equal(a.ProxyFrom, b.ProxyFrom)
}

// bind listens where the model says, and nowhere else. Sessions that came in by a binding
// that is gone go on. m.mu is held.
func (s *site) bind(wanted []*model.Binding) {
	there := map[string]*binding{}
	for _, w := range wanted {
		id := w.Key().ID
		there[id] = &binding{model: w}
		if old := s.bindings[id]; old != nil && old.listener != nil && !w.Disabled && same(old.model, w) {
			there[id].listener = old.listener
			delete(s.bindings, id)
		} else if old != nil {
			there[id].problem = old.problem
		}
	}
	// Before anything is opened: two bindings may have changed places.
	for _, b := range s.bindings {
		if b.listener != nil {
			_ = b.listener.Close()
			s.log.Info("no longer listening", "binding", b.model.Name, "address", b.listener.Addr().String())
		}
	}
	s.bindings = there
	for _, id := range slices.Sorted(maps.Keys(there)) {
		if b := there[id]; b.listener == nil && !b.model.Disabled {
			s.listen(b)
		}
	}
}

func (s *site) listen(b *binding) {
	l, err := net.Listen("tcp", address(b.model))
	if err != nil {
		err = fmt.Errorf("binding %s cannot listen: %w; %s", b.model.Name, err, listenCure(b.model.Address))
		if b.problem == nil || b.problem.Error() != err.Error() {
			s.log.Error("a binding cannot listen; it is tried again", "binding", b.model.Name, "error", err)
		}
		b.problem = err
		return
	}
	b.listener, b.problem = l, nil
	s.log.Info("listening", "binding", b.model.Name, "address", l.Addr().String())
	if len(b.model.ProxyFrom) == 0 {
		s.server.Serve(l)
		return
	}
	go s.acceptProxied(l, b.model.ProxyFrom)
}

// listenCure says what helps where nothing can listen. Port 0 is any that is free: if that
// fails as well, it is the address.
func listenCure(address string) string {
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return "give this machine the address, or choose one that it has"
	}
	_ = l.Close()
	return "end the program that has the port, or choose another"
}

// address is where a binding listens, HOST:PORT.
func address(b *model.Binding) string { return net.JoinHostPort(b.Address, strconv.Itoa(b.Port)) }

// bindingStatus tells how the bindings are. m.mu is held.
func (s *site) bindingStatus() []BindingStatus {
	list := make([]BindingStatus, 0, len(s.bindings))
	for _, b := range s.bindings {
		status := BindingStatus{Name: b.model.Name, Address: address(b.model), Listening: b.listener != nil, Disabled: b.model.Disabled, Proxied: len(b.model.ProxyFrom) > 0}
		if b.problem != nil {
			status.Problem = b.problem.Error()
		}
		if b.listener != nil {
			status.RefusedFrom = s.guard.refusedHere(b.model.Address)
		}
		list = append(list, status)
	}
	slices.SortFunc(list, func(a, b BindingStatus) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// proxyHeader is how long a load balancer may take to tell the client's address.
const proxyHeader = 10 * time.Second

// acceptProxied takes connections of load balancers, which say first whose they are, and
// of others, which do not.
func (s *site) acceptProxied(l net.Listener, from []string) {
	server := s.server
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.log.Error("cannot accept a connection", "address", l.Addr(), "error", err)
			time.Sleep(50 * time.Millisecond)
			continue
		}
		peer, err := netip.ParseAddrPort(c.RemoteAddr().String())
		if err != nil || !model.Within(peer.Addr(), from) {
			server.ServeConn(c)
			continue
		}
		go func() {
			proxied := proxyproto.NewConn(c, proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(proxyHeader))
			// Asked here, as it waits for the header.
			if proxied.ProxyHeader() == nil {
				s.log.Debug("a load balancer did not say whose connection it is", "address", peer)
				_ = proxied.Close()
				return
			}
			server.ServeConn(proxied)
		}()
	}
}
