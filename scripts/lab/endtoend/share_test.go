//go:build linux && lab && !soak

package endtoend

// killShare says on which machines runs are killed, and at every how-manieth point.
var killShare = map[string]int{"bookworm": 4, "bookworm-sysv": 8}

// powerCuts is how often one verb loses its power on one kind of machine.
func powerCuts(s site, v verb) int {
	if s.name == "systemd" && v.name == "update" {
		return 2
	}
	return 1
}

func wholeCuts(s site, name string) int {
	if s.name == "systemd" || s.name == "sysv, opt on a second disk" {
		return 1
	}
	return 0
}

// definitionShare are the machines on which releases run under others' definitions.
var definitionShare = []string{"bookworm"}

// helpCuts: at every how-manieth call the power is cut while the help is put in
// place; 0 for none.
func helpCuts(s site) int {
	if s.name == "systemd, opt on a second disk" {
		return 3
	}
	return 0
}

// everyWay: each one-liner is run in every way at every stage, not in one.
const everyWay = false

// cutScripts are the one-liners that are cut. The others have the same lines.
var cutScripts = []string{oneLiners[0], oneLiners[3]}

// debLives are the Debian releases and programs that a deb lives and dies with.
var debLives = []debLife{{"bookworm", dpkg}, {"trixie", apt}}

// debShare are the machines on which every sentence about debs is tried.
var debShare = []string{"bookworm"}

// rpmShare are the machines on which every sentence about rpms is tried.
var rpmShare = []string{"trixie-rpm"}

// debImages are the images that a deb is installed into without a running init.
var debImages = []string{"trixie"}

// debInits are the machines without systemd that a deb is installed on.
var debInits = []string{"bookworm-openrc"}

// objectCuts is how often the power goes while objects are written.
const objectCuts = 4

// upgradeShare: at every how-manieth point an upgrade of version 6 is killed;
// upgradeCuts is how often it loses its power.
const (
	upgradeShare = 19
	upgradeCuts  = 3
)

// moveShare: at every how-manieth point a move-out is killed.
const moveShare = 5
