//go:build linux && lab && soak

package endtoend

// killShare says on which machines runs are killed, and at every how-manieth point.
var killShare = map[string]int{"bookworm": 1, "bookworm-sysv": 1, "bookworm-openrc": 2, "trixie": 2}

// powerCuts is how often one verb loses its power on one kind of machine: 105 in all.
func powerCuts(s site, v verb) int {
	switch s.name {
	case "systemd", "systemd, opt on a second disk":
		return 10
	}
	return 5
}

func wholeCuts(site, string) int { return 3 }

// definitionShare are the machines on which releases run under others' definitions.
var definitionShare = append([]string{"trixie"}, inits...)

// helpCuts: at every how-manieth call the power is cut while the help is put in place.
func helpCuts(site) int { return 1 }

// everyWay: each one-liner is run in every way at every stage.
const everyWay = true

// cutScripts are the one-liners that are cut.
var cutScripts = oneLiners

// debLives are the Debian releases and programs that a deb lives and dies with.
var debLives = []debLife{{"bookworm", dpkg}, {"bookworm", apt}, {"trixie", dpkg}, {"trixie", apt}}

// debShare are the machines on which every sentence about debs is tried.
var debShare = []string{"bookworm", "trixie"}

// rpmShare are the machines on which every sentence about rpms is tried.
var rpmShare = []string{"bookworm-rpm", "trixie-rpm"}

// debImages are the images that a deb is installed into without a running init.
var debImages = []string{"bookworm", "trixie", "bookworm-sysv", "bookworm-openrc"}

// debInits are the machines without systemd that a deb is installed on.
var debInits = []string{"bookworm-sysv", "bookworm-openrc"}

// objectCuts is how often the power goes while objects are written.
const objectCuts = 20

// upgradeShare: at every how-manieth point an upgrade of version 6 is killed;
// upgradeCuts is how often it loses its power.
const (
	upgradeShare = 1
	upgradeCuts  = 30
)

// moveShare: at every how-manieth point a move-out is killed.
const moveShare = 1
