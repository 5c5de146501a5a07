//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/seal"
	"ss-setup/runtime/store"
	"ss-setup/runtime/vfs/keyring"
	"ss-setup/scripts/lab"
)

const (
	manyUsers = 100_000
	// searchesMade by somebody who types.
	searchesMade = 400
)

// userRows measures a server with many users: its start, its memory, searches.
func userRows(b *bench) []row {
	dir, err := os.MkdirTemp("/dev/shm", "bench-users-")
	b.must(err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := newProduct(b, dir)
	p.fill(b)

	var starts, memories []float64
	for range b.runs + 1 {
		took := p.start(b)
		s := sftpServer{pid: p.cmd.Process.Pid}
		starts, memories = append(starts, took.Seconds()), append(memories, s.memory(b, "VmRSS"))
		p.stop()
	}
	starts, memories = starts[1:], memories[1:] // the first one warms up

	p.start(b)
	r := p.rest(b)
	pages, totals := searches(b, r, ""), searches(b, r, "&total=true")
	note := fmt.Sprintf("%d users", manyUsers)
	return []row{
		newRow("start_100k_seconds", middle(starts), "s", atMost(0.5), len(starts), "from the start of the process until it serves; "+note),
		newRow("start_100k_rss_mb", middle(memories), "MB", atMost(100), len(memories), "when it serves, with the pages of the store that the kernel lends; "+note),
		newRow("search_100k_ms", quantile(pages, 0.99), "ms", atMost(10), len(pages), fmt.Sprintf("99th percentile of a page of hits over REST, median %.1f ms; %s", quantile(pages, 0.5), note)),
		newRow("search_100k_total_ms", quantile(totals, 0.99), "ms", atMost(10), len(totals), fmt.Sprintf("the same with the count of all hits, median %.1f ms; %s", quantile(totals, 0.5), note)),
	}
}

// fill puts the users into the stopped server's store, as an import does.
func (p *product) fill(b *bench) {
	// Only the number of the schema counts, when nothing is migrated.
	schema := store.Schema{Product: "ss-server", File: "store.db", Migrations: make([]store.Migration, 1)}
	st, err := schema.Open(p.path("var/1"))
	b.must(err)
	ring, err := keyring.Open(p.path("var/keyring"))
	b.must(err)
	_, err = ring.Master()
	b.must(err)
	e, err := engine.Open(engine.Options{Store: st, Sealer: seal.New(ring), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	b.must(err)
	write := func(objects ...model.Object) {
		_, err := e.Write(context.Background(), "system/bench", func(tx *engine.Tx) error {
			for _, o := range objects {
				if err := tx.Create(o); err != nil {
					return err
				}
			}
			return nil
		})
		b.must(err)
	}
	write(&model.Node{Head: model.Head{Name: "one"}}, &model.Site{Head: model.Head{Name: "main"}},
		&model.VFS{Head: model.Head{Name: "files"}, Site: "main", Root: p.path("files")},
		&model.Group{Head: model.Head{Name: "staff"}, Site: "main"})
	const atOnce = 5000
	for first := 0; first < manyUsers; first += atOnce {
		users := make([]model.Object, atOnce)
		for i := range users {
			users[i] = sampleUser(first + i)
		}
		write(users...)
	}
	b.must(errors.Join(e.Close(), st.Close()))
}

var (
	firstNames = []string{"anna", "otto", "jürgen", "maría", "li", "olga", "ahmed", "chloé", "sven", "ewa"}
	lastNames  = []string{"schmidt", "garcía", "müller", "kowalska", "wang", "ivanova", "haddad", "dubois", "larsson", "rossi", "smith"}
)

// sampleUser is as large as real ones are.
func sampleUser(i int) *model.User {
	u := &model.User{Head: model.Head{Name: fmt.Sprintf("%s.%s%05d", firstNames[i%len(firstNames)], lastNames[i/7%len(lastNames)], i)}, Site: "main"}
	u.Email = fmt.Sprintf("user%05d@example.com", i)
	u.Description = fmt.Sprintf("Department %d, building %d", i%40, i%9)
	u.Groups = []string{"staff"}
	u.Home = model.Folder{VFS: "files", Path: "/home/{user}", Permissions: model.UsualPermissions()}
	u.Password = model.Password{Hash: fmt.Sprintf("$argon2id$v=19$m=19456,t=2,p=1$%022d$%043d", i, i*7), Changed: time.Unix(1_700_000_000, 0)}
	u.Keys = []model.PublicKey{{Key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6eULB+Kh7jt2WKAFIDuy3RaZA0yn3jkvUpgWP0SKNk"}}
	return u
}

// searches are of what people type, common and rare; the times in ms.
func searches(b *bench, r *lab.REST, more string) []float64 {
	words := []string{"a", "mül", "otto.g", "example.com", "department 3", "00042", "zzzz", "ürgen.smith", "building 8", "9999@"}
	var times []float64
	for len(times) < searchesMade {
		path := "/sites/main/users?limit=50&q=" + url.QueryEscape(words[len(times)%len(words)]) + more
		began := time.Now()
		status, answer, err := r.Send(context.Background(), http.MethodGet, path, "")
		took := time.Since(began)
		switch {
		case status == http.StatusTooManyRequests:
			time.Sleep(time.Second)
			continue
		case err == nil && status != http.StatusOK:
			err = fmt.Errorf("GET %s: %d %s", path, status, answer)
		}
		b.must(err)
		times = append(times, float64(took.Microseconds())/1000)
	}
	return times
}

func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(float64(len(sorted)-1)*q)]
}
