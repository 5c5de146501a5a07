package machine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

// recordingRunner notes each command and succeeds.
func recordingRunner(ran *[]string) Runner {
	return func(_ context.Context, argv ...string) (string, error) {
		*ran = append(*ran, strings.Join(argv, " "))
		return "", nil
	}
}

// answers is a Runner that knows what some commands say; all others fail.
func answers(ran *[]string, known map[string]string) Runner {
	return func(_ context.Context, argv ...string) (string, error) {
		line := strings.Join(argv, " ")
		*ran = append(*ran, line)
		out, ok := known[line]
		if !ok {
			return "", &CommandError{Argv: argv, Code: 1}
		}
		return out, nil
	}
}

const dropping = `table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
	}
}
`

func TestDroppingChainOfNftablesIsFound(t *testing.T) {
	tests := map[string]struct{ out, want string }{
		"drops":        {dropping, "inet filter input"},
		"accepts":      {strings.Replace(dropping, "policy drop", "policy accept", 1), ""},
		"iptables-nft": {"table ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n", "ip filter INPUT"},
		"only IPv6":    {"table ip6 filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n", ""},
		"nothing":      {"", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := droppingChain(test.out); got != test.want {
				t.Errorf("chain is %q", got)
			}
		})
	}
}

func TestFirewallIsToldByWhatIsAtWork(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		known map[string]string
		kind  string
		ran   []string
	}{
		{name: "none"},
		{
			name: "ufw", kind: UFW,
			files: map[string]string{"/etc/ufw/ufw.conf": "# comment\nENABLED=yes\n", "/usr/sbin/ufw": ""},
		},
		{
			name: "ufw switched off", files: map[string]string{"/etc/ufw/ufw.conf": "ENABLED=no\n", "/usr/sbin/ufw": ""},
		},
		{
			name: "firewalld", kind: Firewalld, files: map[string]string{"/usr/bin/firewall-cmd": ""},
			known: map[string]string{"firewall-cmd --state": "running"}, ran: []string{"firewall-cmd --state"},
		},
		{
			name: "firewalld stopped, nftables drops", kind: NFTables, files: map[string]string{"/usr/bin/firewall-cmd": "", "/usr/sbin/nft": ""},
			known: map[string]string{"nft list chains": dropping}, ran: []string{"firewall-cmd --state", "nft list chains"},
		},
		{
			name: "nftables not to be asked", files: map[string]string{"/usr/sbin/nft": ""}, ran: []string{"nft list chains"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var ran []string
			w, err := lookForFirewall(t.Context(), image(t, test.files), answers(&ran, test.known))
			if err != nil || w.Kind != test.kind || !slices.Equal(ran, test.ran) {
				t.Errorf("firewall is %+v, %v after %q", w, err, ran)
			}
		})
	}
	f := image(t, map[string]string{"/etc/ufw/ufw.conf": "ENABLED=yes\n", "/usr/sbin/ufw": ""})
	if w, err := FindFirewall(t.Context(), f); err != nil || w.Kind != "" {
		t.Errorf("an image has the firewall %+v, %v", w, err)
	}
}

func TestOpenCommandsAreAsTyped(t *testing.T) {
	ports := []int{6443, 22}
	tests := map[string]struct {
		w    Firewall
		want []string
	}{
		"none": {Firewall{}, nil},
		"ufw":  {Firewall{Kind: UFW}, []string{"ufw allow 6443/tcp", "ufw allow 22/tcp"}},
		"firewalld": {Firewall{Kind: Firewalld}, []string{
			"firewall-cmd --add-port=6443/tcp", "firewall-cmd --permanent --add-port=6443/tcp",
			"firewall-cmd --add-port=22/tcp", "firewall-cmd --permanent --add-port=22/tcp",
		}},
		"nftables": {Firewall{Kind: NFTables, chain: "inet filter input"}, []string{
			`nft insert rule inet filter input tcp dport 6443 accept comment '"ss-server"'`,
			`nft insert rule inet filter input tcp dport 22 accept comment '"ss-server"'`,
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := test.w.OpenCommands(ports); !slices.Equal(got, test.want) {
				t.Errorf("commands are %q", got)
			}
		})
	}
}

func TestOpenTouchesOnlyWhatIsNotOpen(t *testing.T) {
	const chain = `table inet filter {
	chain input { # handle 1
		type filter hook input priority filter; policy drop;
		tcp dport 22 accept # handle 4
		tcp dport 6443 accept comment "ss-server" # handle 5
		ip saddr 10.0.0.0/8 tcp dport 2380 accept # handle 6
	}
}
`
	tests := []struct {
		name         string
		w            Firewall
		known        map[string]string
		opened       []int
		open, closed []string
	}{
		{
			name: "ufw", w: Firewall{Kind: UFW}, opened: []int{22},
			known: map[string]string{
				"ufw show added":     "Added user rules (see 'ufw status' for running firewall):\nufw allow 22/tcp comment 'ssh'\nufw allow from 10.0.0.0/8 to any port 6443\n",
				"ufw allow 6443/tcp": "", "ufw delete allow 6443/tcp": "",
			},
			open: []string{"ufw show added", "ufw allow 6443/tcp"}, closed: []string{"ufw delete allow 6443/tcp"},
		},
		{
			name: "ufw that limits", w: Firewall{Kind: UFW}, opened: []int{22},
			known: map[string]string{
				"ufw show added":     "Added user rules (see 'ufw status' for running firewall):\nufw limit 22/tcp\n",
				"ufw allow 6443/tcp": "", "ufw delete allow 6443/tcp": "",
			},
			open: []string{"ufw show added", "ufw allow 6443/tcp"}, closed: []string{"ufw delete allow 6443/tcp"},
		},
		{
			name: "firewalld", w: Firewall{Kind: Firewalld}, opened: []int{22},
			known: map[string]string{
				"firewall-cmd --query-port=22/tcp": "yes", "firewall-cmd --permanent --query-port=22/tcp": "yes",
				"firewall-cmd --query-port=6443/tcp": "yes",
				"firewall-cmd --add-port=6443/tcp":   "", "firewall-cmd --permanent --add-port=6443/tcp": "",
				"firewall-cmd --remove-port=6443/tcp": "", "firewall-cmd --permanent --remove-port=6443/tcp": "",
			},
			open: []string{
				"firewall-cmd --query-port=22/tcp", "firewall-cmd --permanent --query-port=22/tcp",
				"firewall-cmd --query-port=6443/tcp", "firewall-cmd --permanent --query-port=6443/tcp",
				"firewall-cmd --add-port=6443/tcp", "firewall-cmd --permanent --add-port=6443/tcp",
			},
			closed: []string{"firewall-cmd --remove-port=6443/tcp", "firewall-cmd --permanent --remove-port=6443/tcp"},
		},
		{
			name: "nftables", w: Firewall{Kind: NFTables, chain: "inet filter input"}, opened: []int{22, 6443},
			known: map[string]string{
				"nft --handle list chain inet filter input": chain, "nft delete rule inet filter input handle 5": "",
			},
			open: []string{"nft --handle list chain inet filter input"},
			closed: []string{
				"nft --handle list chain inet filter input", "nft delete rule inet filter input handle 5",
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var ran []string
			w := test.w
			w.run = answers(&ran, test.known)
			opened, err := w.Opened(t.Context(), []int{22, 6443})
			if err != nil || !slices.Equal(opened, test.opened) {
				t.Errorf("open are %v, %v", opened, err)
			}
			ran = nil
			check(t, w.Open(t.Context(), []int{22, 6443}))
			if !slices.Equal(ran, test.open) {
				t.Errorf("to open it ran %q", ran)
			}
			ran = nil
			check(t, w.Close(t.Context(), []int{6443}))
			if !slices.Equal(ran, test.closed) {
				t.Errorf("to close it ran %q", ran)
			}
		})
	}
	none := Firewall{}
	opened, err := none.Opened(t.Context(), []int{22})
	check(t, errors.Join(err, none.Open(t.Context(), []int{22}), none.Close(t.Context(), []int{22})))
	if !slices.Equal(opened, []int{22}) {
		t.Errorf("without a firewall %v are open", opened)
	}
}

func TestFirewallTellsWhatFailed(t *testing.T) {
	var ran []string
	w := Firewall{Kind: UFW, run: answers(&ran, nil)}
	err := w.Open(t.Context(), []int{6443})
	if err == nil || !strings.Contains(err.Error(), "ufw show added: exit status 1") {
		t.Errorf("error is %v", err)
	}
	if !(&Firewall{Kind: UFW}).Lasts() || (&Firewall{Kind: NFTables}).Lasts() {
		t.Error("what lasts is not told")
	}
}
