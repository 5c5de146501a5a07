package rest

import (
	"net/http"
	"net/netip"
	"strings"

	"ss-setup/runtime/model"
)

// addressOf is the client's address: that of the connection or, where that is a trusted
// proxy's, the last one in X-Forwarded-For that is none. What stands before it, anybody
// may have written.
func addressOf(r *http.Request, trusted []string) netip.Addr {
	port, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	from := port.Addr().Unmap().WithZone("")
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && model.Within(from, trusted); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		from = hop.Unmap().WithZone("")
	}
	return from
}
