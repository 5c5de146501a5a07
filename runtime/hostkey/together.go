package hostkey

import (
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strings"
)

const newForAllButOne = "make a new key on all but one; if they are nodes of one cluster, which share theirs on purpose, say so with --one-cluster"

// findSharedKeys refuses a key that several machines have.
func (a *Auditor) findSharedKeys() {
	groups := map[string][]int{}
	for i, f := range a.found {
		if f.SHA256 != "" {
			groups[f.SHA256] = append(groups[f.SHA256], i)
		}
	}
	for _, group := range groups {
		machines := a.machines(group)
		if len(machines) < 2 {
			continue
		}
		who := strings.Join(machines[:min(len(machines), 5)], ", ")
		if len(machines) > 5 {
			who += fmt.Sprintf(" and %d more", len(machines)-5)
		}
		for _, i := range group {
			if a.found[i].OK() {
				a.found[i].Verdict = Verdict{Shared, fmt.Sprintf("%d machines have it (%s): who gets it from one can pretend to be each of them", len(machines), who), newForAllButOne}
			}
		}
	}
}

// machines tells which machines have a key, as far as that is sure: files with private
// halves are of one each; a public half alone may lie anywhere, so that such files count
// only by themselves; and of the names in known_hosts two can be the same machine if one is
// an address, or short for the other.
func (a *Auditor) machines(group []int) []string {
	private, public, hosts := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, i := range group {
		k := a.keys[i]
		switch {
		case k.HasPrivate():
			private[a.found[i].File] = true
		case k.host != "":
			hosts[k.host] = true
		default:
			public[a.found[i].File] = true
		}
	}
	switch {
	case len(private) > 1:
		return sorted(private)
	case len(hosts) > 0:
		return sorted(hosts)
	case len(private) == 0:
		return sorted(public)
	}
	return nil
}

func sorted(set map[string]bool) []string {
	var out []string
	for name := range set {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// hostName is the name in a line of known_hosts that tells its machine from others: no
// address, no pattern, nothing hashed, and short; empty if there is none.
func hostName(hosts []string) string {
	for _, host := range hosts {
		host = strings.ToLower(strings.TrimPrefix(host, "["))
		host, _, _ = strings.Cut(host, "]")
		if _, err := netip.ParseAddr(host); err == nil || strings.ContainsAny(host, `|*?!"=`) {
			continue
		}
		short, _, _ := strings.Cut(host, ".")
		return short
	}
	return ""
}

// maxTogether bounds the RSA keys that are looked at together: their product grows with
// each.
const maxTogether = 2000

// findSharedFactors refuses RSA keys whose moduli have a factor in common, as those of
// devices that made them with too little chance: who has both can compute it.
func (a *Auditor) findSharedFactors() {
	at := map[string]int{} // of each modulus
	var order []int
	for i, k := range a.keys {
		if k == nil || k.rsa == nil || k.rsa.N.BitLen() < minRSA || len(order) == maxTogether {
			continue
		}
		if _, seen := at[string(k.rsa.N.Bytes())]; !seen {
			at[string(k.rsa.N.Bytes())] = i
			order = append(order, i)
		}
	}
	if len(order) < 2 {
		return
	}
	product := big.NewInt(1)
	for _, i := range order {
		product.Mul(product, a.keys[i].rsa.N)
	}
	for _, i := range order {
		if sharesFactor(a.keys[i].rsa.N, product) {
			a.refuseFactor(i, order)
		}
	}
}

// sharesFactor tells whether n has a factor with the rest of a product that it is in.
func sharesFactor(n, product *big.Int) bool {
	var rest, square big.Int
	rest.Mod(product, square.Mul(n, n))
	rest.Div(&rest, n)
	return rest.GCD(nil, nil, &rest, n).Cmp(big.NewInt(1)) != 0
}

// refuseFactor finds with which other key, and refuses it wherever it is.
func (a *Auditor) refuseFactor(i int, order []int) {
	n := a.keys[i].rsa.N
	with := ""
	for _, j := range order {
		if j != i && new(big.Int).GCD(nil, nil, n, a.keys[j].rsa.N).Cmp(big.NewInt(1)) != 0 {
			with = a.found[j].place()
			break
		}
	}
	for j, k := range a.keys {
		if k != nil && k.rsa != nil && k.rsa.N.Cmp(n) == 0 && a.found[j].OK() {
			a.found[j].Verdict = Verdict{Factors, "its modulus has a factor in common with that of the key at " + with + ", so that both can be broken", makeNew}
		}
	}
}

func (f Finding) place() string {
	if f.File == "" {
		return fmt.Sprintf("line %d", f.Line)
	}
	return fmt.Sprintf("%s, line %d", f.File, f.Line)
}
