// Ss6 behaves like an installed version 6, as far as an upgrade sees it: folders, services
// that start with the machine, the REST interface's log-in and backup, an SSH server for
// users, and a data folder that is nobody else's to read. It is ours from end to end and is
// for tests alone.
//
//	ss6 install [--sftp-port N] [--sftp-ip IP] [--user-key FILE] [--lossy] [--wide] [--leaving USER]
//	            [--closed] [--mute] [--template] [--outliving] [--sites]
//	                                 lay out and start
//	ss6 start                        start the site that is started by hand, until the worker ends
//	ss6 webrest|worker [--service]   what the services run
//	ss6 users                        what an outliving worker runs
//	ss6 neighbour ADDRESS            an SSH server of somebody else
//
// Its SuperAdmin is sa with the password "an old secret", its user anna with "battery
// staple" and the key of --user-key. --lossy adds a user whose files are encrypted, --wide
// one with the whole machine, --leaving one who is disabled once a backup was given. --closed
// lets nobody but root write users' files, --mute has it refuse its backup, --template starts
// its worker by webrest, as an instance of a template that nobody has enabled, --outliving
// has the worker leave users to a program that does not end with it, unless the service
// manager sees to that. --sites adds three sites at the next ports: one that is started by
// hand, one with a binding for IPv4 and one for IPv6, and one whose allow list does not have
// this machine, which it greets all the same. The worker always waits for a transfer as well, at another port each
// time it starts.
package main

import (
	"archive/zip"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/ssh"
)

const (
	superAdminPassword = "an old secret"
	userPassword       = "battery staple"
	webPort            = 6443
)

// The programs, which are the services as well.
const (
	webrest = "webrest"
	worker  = "worker"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ss6:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("install, webrest, worker or neighbour?")
	}
	switch verb := args[0]; verb {
	case "install":
		return install(args[1:])
	case webrest:
		return serve(verb, args[1:], serveWeb)
	case worker:
		return serve(verb, args[1:], work)
	case "users":
		_, failed, err := serveUsers()
		if err != nil {
			return err
		}
		return <-failed
	case "neighbour":
		return neighbour(args[1:])
	case "start":
		return os.WriteFile(data(started), nil, 0o600)
	}
	return fmt.Errorf("there is no %s", args[0])
}

// config is what the data folder holds besides what is in a backup.
type config struct {
	SFTPPort int    `json:"sftp_port"`
	SFTPIP   string `json:"sftp_ip"`
	Mute     bool   `json:"mute"`
	Template bool   `json:"template"`
	// Outliving: the worker's users are served by a program that does not end with it.
	Outliving bool `json:"outliving,omitempty"`
	// Sites: there are more than one.
	Sites bool `json:"sites,omitempty"`
	// Leaving is a user who is disabled once a backup was given.
	Leaving string `json:"leaving,omitempty"`
}

func data(name string) string { return filepath.Join(home, "data", name) }

func install(args []string) error {
	set := flag.NewFlagSet("install", flag.ContinueOnError)
	port := set.Int("sftp-port", 22, "where users log in")
	ip := set.String("sftp-ip", "", "the one address at which users log in")
	template := set.Bool("template", false, "have webrest start the worker")
	outliving := set.Bool("outliving", false, "have users served by a program that outlives the worker")
	keyFile := set.String("user-key", "", "the public key of anna")
	lossy := set.Bool("lossy", false, "have a user that cannot come along")
	wide := set.Bool("wide", false, "have a user whose files are the whole machine")
	leaving := set.String("leaving", "", "have a `USER` who is disabled once a backup was given")
	closed := set.Bool("closed", false, "let its own account alone use the files of users")
	sites := set.Bool("sites", false, "have more sites")
	mute := set.Bool("mute", false, "refuse to give a backup")
	idle := set.Bool("no-start", false, "only lay out")
	if err := set.Parse(args); err != nil {
		return err
	}
	userKey := ""
	if *keyFile != "" {
		text, err := os.ReadFile(*keyFile)
		if err != nil {
			return err
		}
		userKey = strings.TrimSpace(string(text))
	}
	if err := layOut(*ip, *port, userKey, *leaving, *lossy, *wide); err != nil {
		return err
	}
	if *sites {
		if err := addSites(*port); err != nil {
			return err
		}
	}
	if *closed {
		if err := os.Chmod(userFiles, 0o755); err != nil {
			return err
		}
	}
	if err := writeJSON(data("config.json"), config{SFTPPort: *port, SFTPIP: *ip, Mute: *mute, Template: *template, Outliving: *outliving, Leaving: *leaving, Sites: *sites}); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	for _, name := range []string{webrest, worker} {
		path := programPath(name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, program, 0o755)); err != nil {
			return err
		}
	}
	return register(!*idle, *template)
}

// layOut writes the configuration: what a backup holds is in the folder backup.
func layOut(ip string, port int, userKey, leaving string, lossy, wide bool) error {
	hostKey, err := newHostKey()
	if err != nil {
		return err
	}
	sa, err := hash(superAdminPassword)
	if err != nil {
		return err
	}
	anna, err := hash(userPassword)
	if err != nil {
		return err
	}
	type object = map[string]any
	all := []string{"List", "Make", "Rename", "Delete", "Edit_Metadata", "Get", "Put", "Modify"}
	user := func(id, vfs string, keys ...object) object {
		return object{
			"id": id, "type": "Normal", "authTypes": []string{"Password", "PKI"}, "password": object{"version": "V6", "salt": "", "payload": anna},
			"home": object{"vfsId": vfs, "permissions": all, "visible": true}, "status": "Enabled", "subsystems": []string{"SSH2_SFTP"}, "sshPubKeys": keys,
		}
	}
	var keys []object
	if userKey != "" {
		keys = append(keys, object{"id": "k1", "name": "laptop", "key": userKey})
	}
	users := []object{user("anna", "V1", keys...)}
	vfs := []object{{"id": "V1", "name": "Files", "type": "Disk", "target": userFiles}}
	if lossy {
		users = append(users, user("secretive", "V2"))
		vfs = append(vfs, object{"id": "V2", "name": "Sealed", "type": "Disk", "target": userFiles + "-sealed", "encrypt": true, "passPhrase": object{"status": "Plain", "payload": "x"}})
	}
	if leaving != "" {
		users = append(users, user(leaving, "V1"))
	}
	if wide {
		users = append(users, user("everywhere", "V3"))
		vfs = append(vfs, object{"id": "V3", "name": "Machine", "type": "Disk", "target": filepath.VolumeName(userFiles) + string(filepath.Separator)})
	}
	for name, content := range map[string]any{
		"version.json":    object{"version": "6.2.60"},
		"superadmin.json": []object{{"id": "sa", "email": "sa@example.com", "password": object{"version": "V6", "salt": "", "payload": sa}}},
		"nodes.json":      []object{{"id": "old-node", "description": "the machine"}},
		"vsites.json": []object{{"id": "default", "name": "Main", "autoStart": true, "nodeBindings": []object{
			{"nodeId": "old-node", "bindings": []object{{"service": "SSH", "ipVersion": "Any", "ip": ip, "port": port}}},
		}}},
		"sites/default/sshhostkeys.json": []object{{"id": "h1", "name": "ed25519", "type": "ED25519", "key": string(hostKey)}},
		"sites/default/vfs.json":         vfs,
		"sites/default/users.json":       users,
	} {
		if err := writeJSON(data(filepath.Join("backup", filepath.FromSlash(name))), content); err != nil {
			return err
		}
	}
	if err := os.WriteFile(data("host.key"), hostKey, 0o600); err != nil {
		return err
	}
	// Whatever account the server has, it may use them.
	return errors.Join(os.MkdirAll(userFiles, 0o777), os.Chmod(userFiles, 0o777),
		os.WriteFile(filepath.Join(userFiles, "report.txt"), []byte("of last year\n"), 0o644))
}

// The ports of the sites that --sites adds, behind that of the first.
const (
	byHand = 1 + iota
	families
	fenced
)

// started is the file that has the worker start the site that is started by hand.
const started = "started"

// addSites adds sites to those of the backup.
func addSites(port int) error {
	type object = map[string]any
	file := data(filepath.Join("backup", "vsites.json"))
	var all []object
	if err := readJSON(file, &all); err != nil {
		return err
	}
	binding := func(version string, offset int) object {
		return object{"service": "SSH", "ipVersion": version, "ip": "", "port": port + offset}
	}
	for name, bindings := range map[string][]object{
		"by-hand": {binding("Any", byHand)}, "families": {binding("IPv4", families), binding("IPv6", families)}, "fenced": {binding("Any", fenced)},
	} {
		all = append(all, object{
			"id": name, "name": name, "autoStart": name != "by-hand", "nodeBindings": []object{{"nodeId": "old-node", "bindings": bindings}},
		})
		keys, err := os.ReadFile(data("backup/sites/default/sshhostkeys.json"))
		if err != nil {
			return err
		}
		dir := data(filepath.Join("backup", "sites", name))
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "sshhostkeys.json"), keys, 0o600)); err != nil {
			return err
		}
	}
	return errors.Join(writeJSON(file, all), writeJSON(data("backup/sites/fenced/srvconfig.json"), object{"allowList": []string{"10.0.0.0/8"}}))
}

func newHostKey() ([]byte, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(block), nil
}

func hash(password string) (string, error) {
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	return string(h), err
}

func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, text, 0o600))
}

func readJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// account is what both services read of users and SuperAdmins.
type account struct {
	ID       string `json:"id"`
	Password struct {
		Payload string `json:"payload"`
	} `json:"password"`
	Keys []struct {
		Key string `json:"key"`
	} `json:"sshPubKeys"`
}

func (a account) opens(password string) bool {
	return bcrypt.CompareHashAndPassword([]byte(a.Password.Payload), []byte(password)) == nil
}

func find(file, id string) (account, bool) {
	var all []account
	if readJSON(data(filepath.Join("backup", file)), &all) != nil {
		return account{}, false
	}
	for _, a := range all {
		if a.ID == id {
			return a, true
		}
	}
	return account{}, false
}

// serveWeb is the REST interface, as far as an upgrade uses it.
func serveWeb() (stop func(), failed <-chan error, err error) {
	var c config
	if err := readJSON(data("config.json"), &c); err != nil {
		return nil, nil, err
	}
	certificate, err := newCertificate()
	if err != nil {
		return nil, nil, err
	}
	l, err := tls.Listen("tcp", fmt.Sprintf(":%d", webPort), &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		return nil, nil, err
	}
	server := &http.Server{Handler: rest(c), ReadHeaderTimeout: 10 * time.Second}
	if c.Template {
		if err := startWorker(); err != nil {
			return nil, nil, err
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	return func() { _ = server.Close() }, ended, nil
}

func newCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "old server"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, err
}

func rest(c config) http.Handler {
	const token = "a token"
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/version", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"name":"old server","version":"6.2.60"}`)
	})
	mux.HandleFunc("GET /api/v1/sa/login", func(w http.ResponseWriter, r *http.Request) {
		name, password, _ := r.BasicAuth()
		if sa, ok := find("superadmin.json", name); !ok || !sa.opens(password) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"token":%q}`, token)
	})
	mux.HandleFunc("GET /api/v1/sa/logout", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /api/v1/sa/backup", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer "+token:
			w.WriteHeader(http.StatusUnauthorized)
		case c.Mute:
			w.WriteHeader(http.StatusInternalServerError)
		default:
			w.Header().Set("Content-Type", "application/zip")
			_ = writeBackup(w)
			_ = leave(c.Leaving)
		}
	})
	return mux
}

// leave disables a user.
func leave(name string) error {
	if name == "" {
		return nil
	}
	file := data(filepath.Join("backup", usersFile))
	var users []map[string]any
	if err := readJSON(file, &users); err != nil {
		return err
	}
	for _, u := range users {
		if u["id"] == name {
			u["status"] = "Disabled"
		}
	}
	return writeJSON(file, users)
}

func writeBackup(w http.ResponseWriter) error {
	z := zip.NewWriter(w)
	return errors.Join(z.AddFS(os.DirFS(data("backup"))), z.Close())
}

// work is the worker: it serves users, or has them served.
func work() (stop func(), failed <-chan error, err error) {
	var c config
	if err := readJSON(data("config.json"), &c); err != nil {
		return nil, nil, err
	}
	if !c.Outliving {
		return serveUsers()
	}
	err = exec.Command(programPath(worker), "users").Start()
	return func() {}, nil, err
}

// serveUsers lets users in, and does nothing for them.
func serveUsers() (stop func(), failed <-chan error, err error) {
	var c config
	if err := readJSON(data("config.json"), &c); err != nil {
		return nil, nil, err
	}
	text, err := os.ReadFile(data("host.key"))
	if err != nil {
		return nil, nil, err
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, nil, err
	}
	server := &ssh.ServerConfig{PasswordCallback: byPassword, PublicKeyCallback: byKey, ServerVersion: "SSH-2.0-Old_Server-6.2.60"}
	server.AddHostKey(key)
	places := [][2]string{{"tcp", net.JoinHostPort(c.SFTPIP, fmt.Sprint(c.SFTPPort))}}
	if c.Sites {
		both, own := fmt.Sprintf(":%d", c.SFTPPort+families), fmt.Sprintf(":%d", c.SFTPPort+fenced)
		places = append(places, [2]string{"tcp4", both}, [2]string{"tcp6", both}, [2]string{"tcp", own})
	}
	transfer, err := net.Listen("tcp", ":0")
	if err != nil {
		return nil, nil, err
	}
	open, ended := []net.Listener{transfer}, make(chan error, len(places)+1)
	for _, place := range places {
		l, err := net.Listen(place[0], place[1])
		if err != nil {
			return nil, nil, err
		}
		open = append(open, l)
		go func() { ended <- accept(l, server) }()
	}
	if c.Sites {
		_ = os.Remove(data(started)) // of a worker before this one
		go func() { ended <- onceStarted(c.SFTPPort+byHand, server) }()
	}
	return func() {
		for _, l := range open {
			_ = l.Close()
		}
	}, ended, nil
}

func accept(l net.Listener, server *ssh.ServerConfig) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go letIn(conn, server)
	}
}

// onceStarted serves a site from when somebody starts it.
func onceStarted(port int, server *ssh.ServerConfig) error {
	for {
		if os.Remove(data(started)) == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return err
	}
	return accept(l, server)
}

// neighbour is an SSH server that has nothing to do with version 6.
func neighbour(args []string) error {
	if len(args) != 1 {
		return errors.New("neighbour of which address?")
	}
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		fmt.Fprint(conn, "SSH-2.0-Neighbour\r\n")
		conn.Close()
	}
}

const usersFile = "sites/default/users.json"

var errRefused = errors.New("refused")

func byPassword(c ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
	if u, ok := find(usersFile, c.User()); ok && u.opens(string(password)) {
		return nil, nil
	}
	return nil, errRefused
}

func byKey(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	u, _ := find(usersFile, c.User())
	for _, k := range u.Keys {
		known, _, _, _, err := ssh.ParseAuthorizedKey([]byte(k.Key))
		if err == nil && string(known.Marshal()) == string(key.Marshal()) {
			return nil, nil
		}
	}
	return nil, errRefused
}

func letIn(conn net.Conn, server *ssh.ServerConfig) {
	defer conn.Close()
	c, channels, requests, err := ssh.NewServerConn(conn, server)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for ch := range channels {
		_ = ch.Reject(ssh.UnknownChannelType, "it only greets")
	}
	_ = c.Wait()
}
