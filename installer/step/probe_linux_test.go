package step

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ss-setup/installer/machine"
	"ss-setup/runtime/tlscert"
)

// TestAServerWithAnotherCertificateIsKnownByItsOwn: the one that users see comes from an
// administrator or an authority, and may change at any time.
func TestAServerWithAnotherCertificateIsKnownByItsOwn(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	dir := t.TempDir()
	other, err := tlscert.Ensure(filepath.Join(dir, "other"), []string{"files.example.com"}, time.Now())
	must(t, err)
	keeper, err := tlscert.Open(tlscert.Options{
		Dir: filepath.Join(dir, "own"), Source: tlscert.Source{Fixed: &other}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	defer keeper.Close()
	own, err := os.ReadFile(filepath.Join(dir, "own", "cert.pem"))
	must(t, err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", keeper.TLS())
	must(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"version":"7.0.0","generation":1,"ready":true,"bindings":[{"site":"main","name":"sftp","address":":22","listening":true}]}`)
	})}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	must(t, err)
	defer c.Close()
	if got := tlscert.Fingerprint(c.ConnectionState().PeerCertificates[0].Raw); got != other.Fingerprint {
		t.Error("users see another certificate than they should")
	}
	k.file(machine.ConfigDir+"/server.toml", fmt.Sprintf("[web]\nlisten = %q\n", l.Addr()))
	k.file(machine.ServerData(1)+"/tls/cert.pem", string(own))
	h, err := NewProber(k.FS).Probe(t.Context(), machine.ServerService, 1)
	if err != nil || !h.Ready || len(h.Bindings) != 1 {
		t.Errorf("%+v, %v", h, err)
	}
}
