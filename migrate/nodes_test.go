package migrate_test

import (
	"context"
	"strings"
	"testing"

	"ss-setup/migrate"
	"ss-setup/migrate/importer"
	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// cluster is a backup of version 6 with two nodes, each of which serves at a port of its own.
var cluster = files{
	"version.json": `{"version":"6.2.60"}`,
	"nodes.json":   `[{"id":"Left Hand"},{"id":"right"}]`,
	"vsites.json": `[{"id":"default","nodeBindings":[{"nodeId":"Left Hand","bindings":[{"service":"SSH","port":2201}]},` +
		`{"nodeId":"right","bindings":[{"service":"SSH","port":2202}]}]}]`,
	"sites/default/vfs.json":   `[{"id":"V1","name":"Files","type":"Disk","target":"/srv/f"}]`,
	"sites/default/users.json": `[{"id":"anna","home":{"vfsId":"V1"}}]`,
}

func TestOfSeveralNodesNoneIsTakenUnasked(t *testing.T) {
	for name, c := range map[string]struct {
		o     importer.Options
		port  int
		asked bool
	}{
		"nothing tells":                       {importer.Options{NewNode: "here"}, 2201, true},
		"the machine has the name of one":     {importer.Options{NewNode: "RIGHT"}, 2202, false},
		"the node here has the name of one":   {importer.Options{Node: "left-hand", NewNode: "right"}, 2201, false},
		"somebody says which":                 {importer.Options{NewNode: "here", SourceNode: "right"}, 2202, false},
		"somebody says which, against a name": {importer.Options{Node: "left-hand", NewNode: "x", SourceNode: "right"}, 2202, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := importPath(t, cluster.zip(t), c.o)
			guess := func(l report.Line) bool {
				return l.Rule == report.Nodes && strings.Contains(l.What, "nothing says which")
			}
			asked := false
			for _, l := range got.report.Losses() {
				asked = asked || guess(l)
			}
			if asked != c.asked {
				t.Errorf("asked: %v; %v", asked, got.report.Losses())
			}
			if ports := got.ports(); len(ports) != 1 || ports[0] != c.port {
				t.Errorf("ports %v, want %d", ports, c.port)
			}
		})
	}
}

func TestANodeThatTheSourceDoesNotHaveIsRefusedWithThoseThatItHas(t *testing.T) {
	s, err := migrate.Open(context.Background(), cluster.zip(t))
	must(t, err)
	defer s.Close()
	err = s.Import(context.Background(), importer.Options{NewNode: "here", SourceNode: "middle"}, &keeper{}, report.New(s.About()))
	if err == nil || !strings.Contains(err.Error(), `"Left Hand", "right"`) {
		t.Errorf("%v", err)
	}
}

// ports are those at which the import serves SFTP.
func (i imported) ports() (out []int) {
	for _, o := range i.objects {
		if b, ok := o.(*model.Binding); ok {
			out = append(out, b.Port)
		}
	}
	return out
}
