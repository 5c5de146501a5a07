package engine_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
)

// manyUsers is how many the figures are for.
const manyUsers = 100_000

// perCommit bounds a transaction of an import.
const perCommit = 5000

// crowd puts many users into a world, and says how long it took.
func crowd(b testing.TB, w *world, n int) time.Duration {
	b.Helper()
	users, ids := make([]*model.User, n), make(map[*model.User]string, n)
	for i := range users {
		users[i] = sample(i)
		ids[users[i]] = model.Fold(users[i].Name)
	}
	// In the order of their keys, as an import should come: pages are then written once.
	slices.SortFunc(users, func(a, b *model.User) int { return strings.Compare(ids[a], ids[b]) })
	began := time.Now()
	for part := range slices.Chunk(users, perCommit) {
		w.write(b, func(tx *engine.Tx) error {
			for _, u := range part {
				if err := tx.Put(u); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return time.Since(began)
}

// BenchmarkHundredThousandUsers measures what design.md promises of a big site.
func BenchmarkHundredThousandUsers(b *testing.B) {
	w := furnished(b)
	took := crowd(b, w, manyUsers)
	b.Run("insert", func(b *testing.B) { b.ReportMetric(took.Seconds(), "s"); b.ReportMetric(0, "ns/op") })
	info, err := os.Stat(w.store.Path())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("file", func(b *testing.B) { b.ReportMetric(float64(info.Size())/(1<<20), "MiB"); b.ReportMetric(0, "ns/op") })
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			w.reopen(b)
		}
	})
	b.Run("memory", func(b *testing.B) {
		w.close(b)
		w.Engine, w.store = nil, nil
		before := heap()
		w.open(b)
		b.ReportMetric(heap()-before, "MiB-heap")
		b.ReportMetric(resident(), "MiB-anon")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("search", func(b *testing.B) { searches(b, w, true) })
	b.Run("search-page", func(b *testing.B) { searches(b, w, false) })
	b.Run("list", func(b *testing.B) {
		quantiles(b, func(i int) {
			err := w.Read(func(r *engine.Reader) error {
				page := r.Find(engine.Query{Kind: model.KindUser, Site: "main", After: model.Fold(sample(i * 31 % manyUsers).Name)})
				for _, k := range page.Keys {
					if _, err := r.Get(k); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("get", func(b *testing.B) {
		i := 0
		for b.Loop() {
			w.user(b, sample(i*7919%manyUsers).Name)
			i++
		}
	})
	b.Run("commit", func(b *testing.B) {
		i := 0
		quantiles(b, func(int) {
			u := w.user(b, sample(i*7919%manyUsers).Name)
			u.Description = fmt.Sprint("changed ", i)
			w.write(b, func(tx *engine.Tx) error { return tx.Update(u) })
			i++
		})
	})
	b.Run("stream", func(b *testing.B) {
		for b.Loop() {
			n := 0
			w.read(b, func(r *engine.Reader) error {
				for _, err := range engine.Users.All(r) {
					if err != nil {
						return err
					}
					n++
				}
				return nil
			})
			if n < manyUsers {
				b.Fatal(n)
			}
		}
	})
}

// searches are of what people type: parts of names, common and rare, and what nobody has.
func searches(b *testing.B, w *world, total bool) {
	words := []string{"a", "mül", "otto.g", "example.com", "department 3", "00042", "zzzz", "ürgen.smith", "building 8", "9999@"}
	quantiles(b, func(i int) {
		err := w.Read(func(r *engine.Reader) error {
			r.Find(engine.Query{Kind: model.KindUser, Site: "main", Text: words[i%len(words)], Total: total})
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	})
}

// quantiles runs fn often and reports the median and the 99th percentile.
func quantiles(b *testing.B, fn func(i int)) {
	b.Helper()
	var all []time.Duration
	for b.Loop() {
		began := time.Now()
		fn(len(all) + rand.IntN(10))
		all = append(all, time.Since(began))
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "ms-p50")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "ms-p99")
}

func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// resident is the memory of the process itself, without the pages of the store that the
// kernel lends it; 0 where that is not told.
func resident() float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, _ := strconv.ParseFloat(strings.Fields(kb)[0], 64)
			return n / 1024
		}
	}
	return 0
}
