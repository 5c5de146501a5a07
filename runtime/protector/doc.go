// Package protector decides which addresses may connect. It keeps three lists, and
// puts addresses that misbehave on the first by itself:
//
//   - block: refused. Entries are set by an administrator, or made here for a time.
//   - allow: if it has entries, only these addresses are served. To be allowed saves
//     nobody from being blocked.
//   - safe: addresses of load balancers and monitors, whose probes look like attacks.
//     What they do wrong is refused like anybody's, but they never get blocked.
//
// Bad behaviour adds to an address's score, which sinks with time; at the threshold
// the address is banned. Whoever tries during a ban, or comes back for the next one,
// stays away longer. Level says what counts. An address of IPv6 stands for its /64,
// which is what one customer has.
package protector
