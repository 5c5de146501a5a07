//go:build linux

package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// importRows measures the import of a backup of version 6 with many users into a machine
// that is not set up yet: until the new store is checked and in force.
func importRows(b *bench) []row {
	b.must(os.MkdirAll(b.machines, 0o755))
	dir, err := os.MkdirTemp(b.machines, "import-")
	b.must(err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	backup := filepath.Join(dir, "v6.zip")
	b.must(writeOldBackup(backup, manyUsers))

	var times, memories []float64
	for i := range b.runs + 1 {
		p := newProduct(b, filepath.Join(dir, fmt.Sprint(i)))
		began := time.Now()
		cmd := exec.Command("bin/ss-server", "import", backup, "--yes", "--accept-drops",
			"--home", p.path("current"), "--state", p.path("var"), "--control", p.path("run/c"), "--config", p.path("server.toml"))
		var told bytes.Buffer
		cmd.Stdout, cmd.Stderr = &told, &told
		if err := cmd.Run(); err != nil {
			b.Fatalf("import: %v\n%s", err, told.String())
		}
		took := time.Since(began)
		if want := fmt.Sprintf("user  %d  ", manyUsers); !strings.Contains(strings.Join(strings.Fields(told.String()), "  "), want) {
			b.Fatalf("the report does not say %q: %.2000s", want, told.String())
		}
		times = append(times, took.Seconds())
		usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		memories = append(memories, float64(usage.Maxrss)/1024)
		b.must(os.RemoveAll(p.dir))
	}
	times, memories = times[1:], memories[1:] // the first one warms up
	note := fmt.Sprintf("%d users of version 6, from the start of ss-server import until the store is in force", manyUsers)
	return []row{
		newRow("import_100k_seconds", middle(times), "s", atMost(5), len(times), note),
		newRow("import_100k_rss_mb", middle(memories), "MB", atMost(150), len(memories), "its largest memory, with the pages of the store that the kernel lends"),
	}
}

// writeOldBackup makes a backup of version 6 with one site of n users, as large as real
// ones are.
func writeOldBackup(path string, n int) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z := zip.NewWriter(f)
	put := func(name, text string) error {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		return err
	}
	for name, text := range map[string]string{
		"version.json":                `{"version":"6.2.60"}`,
		"vsites.json":                 `[{"id":"main","name":"Main","nodeBindings":[{"nodeId":"one","bindings":[{"service":"SSH","port":2222}]}]}]`,
		"sites/main/srvconfig.json":   `{"id":"main","maxConn":1000}`,
		"sites/main/vfs.json":         `[{"id":"V1","name":"files","type":"Disk","target":"/srv/files"}]`,
		"superadmins.json":            `[{"id":"sa","email":"sa@example.com"}]`,
		"sites/main/sshhostkeys.json": `[]`,
	} {
		if err := put(name, text); err != nil {
			return err
		}
	}
	w, err := z.Create("sites/main/users.jsonl")
	if err != nil {
		return err
	}
	for i := range n {
		u := sampleUser(i)
		_, err := fmt.Fprintf(w, `{"id":%q,"email":%q,"type":"Normal","description":%q,"authTypes":["Password","PKI"],"authMultiOnSsh":false,`+
			`"password":{"version":"V6","salt":"","payload":%q,"mustChange":false},"sshPubKeys":[{"id":"k%d","name":"laptop","key":%q,"fingerprint":"","type":"ED25519","comment":""}],`+
			`"subsystems":["SSH2_SFTP"],"picture":{"kind":"BuiltIn","idIfBuiltIn":%d},"home":{"vfsId":"V1","permissions":["List","Make","Rename","Delete","Edit_Metadata","Get","Put","Modify"],"visible":true},`+
			`"virtualFolders":{},"permissionOverride":{},"speedLimits":[],"eventHandlers":[],"status":"Enabled","autoEnable":false,"autoDisable":false,"allowList":[{"ipOrNetwork":"192.0.2.0/24","notes":""}],"tourTaken":true}`+"\n",
			u.Name, u.Email, u.Description, u.Password.Hash, i, u.Keys[0].Key, i%20)
		if err != nil {
			return err
		}
	}
	return z.Close()
}
