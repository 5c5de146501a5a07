package preflight

import "runtime"

// phrases are the cures, and the names of things, that differ between systems. Verbs
// like %s stand for what the check fills in, {uid} for the account's number.
type phrases struct {
	root, asRoot, rootWrites        string
	unknown                         string
	noManager                       string
	hiddenRun, process              string
	setClock                        string
	listAccounts, makeAccount       string
	mightyAccount                   string
	masked                          string
	room, inodes                    string
	localDisk, remountWritable      string
	diskErrors                      string
	removeLink, otherDisk, moveAway string
	planted                         string
}

// say are the phrases of this system.
var say = phrasesOf(runtime.GOOS)

func phrasesOf(goos string) phrases {
	if goos == "windows" {
		return windowsPhrases
	}
	return linuxPhrases
}

var linuxPhrases = phrases{
	root:            "ss-setup runs as user {uid}, and only root may change the machine",
	asRoot:          "run the same command with sudo",
	rootWrites:      "root",
	unknown:         "go on, or run ss-setup as root outside of a container that hides /proc",
	noManager:       "use a machine with systemd, OpenRC or System V init, or prepare an image with ss-setup install --root DIR",
	hiddenRun:       "another ss-setup is running, perhaps in a container that shares /run",
	process:         "wait until it has ended; see what it does with ps -fp %d",
	setClock:        "set the clock, best by a time service: timedatectl set-ntp true, or date -s 'YYYY-MM-DD hh:mm:ss'",
	listAccounts:    "name an account of this system: getent passwd lists them",
	makeAccount:     "useradd --system --user-group --shell /usr/sbin/nologin %s",
	mightyAccount:   "account %s has the number 0, and the server never runs as root",
	masked:          "masked",
	room:            "make %s more room there: df -h %[2]s, du -xh --max-depth 2 %[2]s",
	inodes:          "remove files there: df -i %[1]s, du -x --inodes --max-depth 2 %[1]s",
	localDisk:       "mount a local disk (ext4, xfs, btrfs) on %s",
	remountWritable: "mount -o remount,rw %s",
	diskErrors:      "see whether the disk works and nothing forbids it: dmesg | tail, mount, lsattr -d %s",
	removeLink:      "nothing, if that is meant; else remove the link: rm %s",
	otherDisk:       "rm %[1]s; to use another disk: mkdir %[1]s && mount --bind %[2]s %[1]s",
	moveAway:        "move it away: mv %[1]s %[1]s.old",
	planted:         "move it away: mv %[1]s %[1]s.old",
}

// What is quoted works in cmd and in PowerShell.
var windowsPhrases = phrases{
	root:            "ss-setup does not run as Administrator, and nobody else may change the machine",
	asRoot:          "run the same command in a terminal that was opened with Run as administrator",
	rootWrites:      "SYSTEM",
	unknown:         "go on, or run ss-setup as SYSTEM",
	noManager:       "use Windows Server 2016 or newer",
	hiddenRun:       "another ss-setup is running, perhaps in another session",
	process:         `wait until it has ended; see what it is with: tasklist /v /fi "PID eq %d"`,
	setClock:        "set the clock, best by a time service: w32tm /resync, or in PowerShell Set-Date 'YYYY-MM-DD hh:mm:ss'",
	listAccounts:    `name an account as DOMAIN\NAME$, or leave out --service-user`,
	makeAccount:     `make a group managed account %s in the domain, or leave out --service-user`,
	mightyAccount:   "account %s may do everything, and the server never runs as such",
	masked:          "disabled",
	room:            "make %s more room on the disk of %[2]s; in PowerShell, Get-Volume lists the disks",
	inodes:          "remove files on the disk of %s",
	localDisk:       "use a local disk with NTFS or ReFS for %s",
	remountWritable: "make the volume %s writable: in diskpart, select it and type attributes volume clear readonly",
	diskErrors:      `see whether the disk works and nothing forbids it: in PowerShell, Get-Volume and Get-Acl "%s"; exempt the folder in the virus scanner`,
	removeLink:      `nothing, if that is meant; else remove the link: cmd /c rmdir "%s"`,
	otherDisk:       `cmd /c rmdir "%[1]s"; then run ss-setup install again: the folder lies on the system's disk, not in %[2]s`,
	moveAway:        `move it away: cmd /c move "%[1]s" "%[1]s.old"`,
	planted:         `look what is in it, then move it away: cmd /c move "%[1]s" "%[1]s.old"; if it is yours: icacls "%[1]s" /setowner *S-1-5-32-544`,
}
