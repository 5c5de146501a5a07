//go:build linux

package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"ss-setup/scripts/lab"
)

const (
	// sftpSize is what is moved to measure throughput.
	sftpSize = 1 << 30
	// sftpLogins is how many clients come one after the other, each with a small file.
	sftpLogins = 20
	// sftpSessions are at work at once.
	sftpSessions = 1000
)

// sftpServer is one side: where it listens, who logs in, and where files go.
type sftpServer struct {
	port, user string
	dir        string // folder for files as the client names it
	key        string
	pid        int
}

// sftpBench has files in memory: disks are not what is compared.
func sftpBench(b *bench) (dir string) {
	lab.InstallPackages(b, "sftp:openssh-client", "/usr/sbin/sshd:openssh-server")
	dir, err := os.MkdirTemp("/dev/shm", "bench-sftp-")
	b.must(err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	b.must(os.Chmod(dir, 0o755))
	return dir
}

// keyPair writes a key for a client to dir/key and dir/key.pub.
func keyPair(b *bench, dir string) string {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	b.must(err)
	block, err := ssh.MarshalPrivateKey(private, "")
	b.must(err)
	file := filepath.Join(dir, "key")
	b.must(os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	signer, err := ssh.NewSignerFromKey(private)
	b.must(err)
	b.must(os.WriteFile(file+".pub", ssh.MarshalAuthorizedKey(signer.PublicKey()), 0o644))
	return file
}

// startOurs starts the server on a folder of its own, with a site for the user kim.
func startOurs(b *bench, dir string, encrypted bool) sftpServer {
	dir, err := os.MkdirTemp(dir, "ours-")
	b.must(err)
	key := keyPair(b, dir)
	public, err := os.ReadFile(key + ".pub")
	b.must(err)
	p := newProduct(b, dir)
	p.start(b)
	r := p.rest(b)
	_, port, _ := net.SplitHostPort(freeAddress(b))
	kind := "disk"
	if encrypted {
		kind = "encrypted"
	}
	create(b, r, "/nodes", `{"name":"one"}`)
	create(b, r, "/sites", `{"name":"main","limits":{"connections":-1,"perAddress":-1,"perUser":-1},"protector":{"level":"off"}}`)
	create(b, r, "/sites/main/vfs", fmt.Sprintf(`{"name":"files","type":%q,"root":%q}`, kind, filepath.Join(dir, "files")))
	create(b, r, "/sites/main/users", fmt.Sprintf(
		`{"name":"kim","keys":[{"key":%q}],"maxSessions":100000,"home":{"vfs":"files","path":"/","permissions":["list","download","upload","overwrite","delete"]}}`,
		strings.TrimSpace(string(public))))
	create(b, r, "/sites/main/bindings", fmt.Sprintf(`{"name":"sftp","node":"one","address":"127.0.0.1","port":%s}`, port))
	return sftpServer{port: port, user: "kim", dir: "/", key: key, pid: p.cmd.Process.Pid}
}

// startPeer starts OpenSSH's server with its internal SFTP, as Debian has it.
func startPeer(b *bench, dir string) sftpServer {
	dir, err := os.MkdirTemp(dir, "peer-")
	b.must(err)
	key, hostKey := keyPair(b, dir), filepath.Join(dir, "host")
	b.must(os.Mkdir(hostKey, 0o700))
	hostKey = keyPair(b, hostKey)
	b.must(os.MkdirAll("/run/sshd", 0o755)) // sshd wants it
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	b.must(err)
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	b.must(listener.Close())
	config := filepath.Join(dir, "config")
	b.must(os.WriteFile(config, []byte(strings.Join([]string{
		"Port " + port, "ListenAddress 127.0.0.1", "HostKey " + hostKey, "AuthorizedKeysFile " + key + ".pub", "StrictModes no",
		"PermitRootLogin yes", "UsePAM no", "PidFile none", "UseDNS no", "MaxStartups 1000", "Subsystem sftp internal-sftp", "",
	}, "\n")), 0o600))
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a bench that is killed leaves nothing
	b.must(cmd.Start())
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			_ = c.Close()
			break
		} else if time.Now().After(end) {
			b.must(err)
		}
	}
	return sftpServer{port: port, user: "root", dir: dir + "/", key: key, pid: cmd.Process.Pid}
}

// client runs a batch of OpenSSH's client and returns how long it took.
func (s sftpServer) client(b *bench, batch string) time.Duration {
	cmd := exec.Command("sftp", "-F", "none", "-i", s.key, "-P", s.port, "-b", "-",
		"-o", "Ciphers=aes128-gcm@openssh.com", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR", s.user+"@127.0.0.1")
	cmd.Stdin = strings.NewReader(batch)
	return b.timed(cmd)
}

// sftpRows compares with OpenSSH's server, by OpenSSH's client, and our encrypted
// storage with our plain one.
func sftpRows(b *bench) []row {
	dir := sftpBench(b)
	if !inOwnNetwork() {
		return b.inNetwork("sftp")
	}
	big, small, back := filepath.Join(dir, "big"), filepath.Join(dir, "small"), filepath.Join(dir, "back")
	b.must(randomFile(big, sftpSize))
	b.must(randomFile(small, 1<<10))
	ours, sealed, peer := startOurs(b, dir, false), startOurs(b, dir, true), startPeer(b, dir)
	// Each put is of a new file: the last one is removed before, untimed.
	up := func(s sftpServer) func(*bench, int) time.Duration {
		return func(t *bench, _ int) time.Duration {
			s.client(t, "-rm "+s.dir+"big\n")
			return s.client(t, "put "+big+" "+s.dir+"big\n")
		}
	}
	down := func(s sftpServer) func(*bench, int) time.Duration {
		return func(t *bench, _ int) time.Duration {
			_ = os.Remove(back)
			return s.client(t, "get "+s.dir+"big "+back+"\n")
		}
	}
	logins := func(s sftpServer) func(*bench, int) time.Duration {
		return func(t *bench, _ int) (sum time.Duration) {
			for i := range sftpLogins {
				name := fmt.Sprintf("%ssmall%d", s.dir, i)
				sum += s.client(t, "put "+small+" "+name+"\nget "+name+" "+back+"\n")
			}
			return sum
		}
	}
	var rows []row
	compare := func(key string, g goal, do func(sftpServer) func(*bench, int) time.Duration, one, other sftpServer, note string) {
		before, peerBefore := one.cpu(b), other.cpu(b)
		o, p := b.interleave(b.runs, do(one), do(other))
		turns := float64(b.runs + 1)
		note = fmt.Sprintf("%s; the servers' processor time %.2f and %.2f s", note, (one.cpu(b)-before)/turns, (other.cpu(b)-peerBefore)/turns)
		rows = append(rows, speedRow(key, o, p, g, note))
	}
	compare("sftp_up_vs_openssh", atLeast(1.05), up, ours, peer, "upload of 1 GiB by OpenSSH's client, aes128-gcm; peer: OpenSSH's server")
	compare("sftp_down_vs_openssh", atLeast(1.4), down, ours, peer, "download of 1 GiB by OpenSSH's client, aes128-gcm; peer: OpenSSH's server")
	compare("sftp_small_vs_openssh", atLeast(1.8), logins, ours, peer, fmt.Sprintf("%d log-ins by key, each with 1 KiB up and down; peer: OpenSSH's server", sftpLogins))
	compare("evfs_write_vs_plain", atLeast(0.95), up, sealed, ours, "upload of 1 GiB to encrypted storage; peer: our plain one")
	compare("evfs_read_vs_plain", atLeast(0.95), down, sealed, ours, "download of 1 GiB from encrypted storage; peer: our plain one")
	return rows
}

// speedRow says how many times as fast as the peer we are.
func speedRow(key string, ours, peers []time.Duration, g goal, note string) row {
	o, p := median(ours), median(peers)
	note = fmt.Sprintf("ours %.3f s, peer %.3f s; %s", o.Seconds(), p.Seconds(), note)
	return newRow(key, p.Seconds()/o.Seconds(), "x", g, min(len(ours), len(peers)), note).against(p)
}

func randomFile(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyN(f, rand.Reader, size)
	return err
}

// sessionRows measures the memory of many sessions that all work at once.
func sessionRows(b *bench) []row {
	dir := sftpBench(b)
	var peaks, afters []float64
	for range 5 {
		b.turn(func(t *bench) {
			s := startOurs(t, dir, false)
			peak, after := s.crowd(t)
			t.Logf("sessions: %.0f MB peak, %.0f MB after", peak, after)
			peaks, afters = append(peaks, peak), append(afters, after)
		})
	}
	note := fmt.Sprintf("%d sessions, each with 1 MiB up and 1 MiB down at once, as long as they stay", sftpSessions)
	return []row{
		newRow("sessions_1000_rss_mb", middle(peaks), "MB", atMost(350), len(peaks), "peak; "+note),
		newRow("sessions_1000_after_rss_mb", middle(afters), "MB", atMost(200), len(afters), "5 s later, all still logged in; "+note),
	}
}

// crowd lets all sessions work and returns the server's memory in MB.
func (s sftpServer) crowd(b *bench) (peak, after float64) {
	text, err := os.ReadFile(s.key)
	b.must(err)
	signer, err := ssh.ParsePrivateKey(text)
	b.must(err)
	clients := make([]*sftp.Client, sftpSessions)
	failed := make(chan error, 2*sftpSessions)
	each := func(atOnce int, do func(i int) error) {
		places := make(chan struct{}, atOnce)
		var wg sync.WaitGroup
		for i := range sftpSessions {
			places <- struct{}{}
			wg.Go(func() {
				defer func() { <-places }()
				if err := do(i); err != nil {
					failed <- err
				}
			})
		}
		wg.Wait()
		select {
		case err := <-failed:
			b.must(err)
		default:
		}
	}
	data := make([]byte, 1<<20)
	each(20, func(i int) error {
		c, err := ssh.Dial("tcp", "127.0.0.1:"+s.port, &ssh.ClientConfig{
			User: s.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		})
		if err != nil {
			return err
		}
		if clients[i], err = sftp.NewClient(c, sftp.UseConcurrentWrites(true)); err != nil || i > 0 {
			return err
		}
		return put(clients[i], "/shared", data)
	})
	each(sftpSessions, func(i int) error {
		up := make(chan error, 1)
		go func() { up <- put(clients[i], fmt.Sprintf("/up%d", i), data) }()
		f, err := clients[i].Open("/shared")
		if err != nil {
			return err
		}
		if n, err := f.WriteTo(io.Discard); err != nil || n != 1<<20 {
			return fmt.Errorf("download of %d bytes: %w", n, err)
		}
		return <-up
	})
	time.Sleep(5 * time.Second)
	peak, after = s.memory(b, "VmHWM"), s.memory(b, "VmRSS")
	each(100, func(i int) error { return clients[i].Close() })
	return peak, after
}

func put(c *sftp.Client, name string, data []byte) error {
	f, err := c.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Close()
}

// cpu is the processor time of the server in seconds, with that of its children that
// ended: OpenSSH has one for each connection. On a busy machine it says more than time.
func (s sftpServer) cpu(b *bench) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	b.must(err)
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	ticks := 0
	for _, field := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.Atoi(field)
		b.must(err)
		ticks += n
	}
	return float64(ticks) / 100
}

// memory is a figure of the server in MB.
func (s sftpServer) memory(b *bench, name string) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
	b.must(err)
	_, rest, _ := strings.Cut(string(text), name+":")
	kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	b.must(err)
	return kb / 1024
}

func middle(values []float64) float64 {
	var d []time.Duration
	for _, v := range values {
		d = append(d, time.Duration(v*1000))
	}
	return float64(median(d)) / 1000
}
