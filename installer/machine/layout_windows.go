package machine

import (
	"path/filepath"
	"strconv"

	"golang.org/x/sys/windows"
)

// The folders and files of an installation: programs below %ProgramFiles%, what
// changes below %ProgramData%. Windows is asked for them, not the environment: a user
// may set that, and software distribution may leave it empty.
var (
	ProgramDir     = filepath.Join(folder(windows.FOLDERID_ProgramFiles, "Program Files"), "SS Server")
	ReleasesDir    = filepath.Join(ProgramDir, "releases")
	EngineDir      = filepath.Join(ProgramDir, "engine")
	GenerationsDir = filepath.Join(StateDir, "generations")
	// Current is a file here: it names the generation that serves, for tools.
	Current = filepath.Join(StateDir, "current")

	ServerStateDir   = filepath.Join(StateDir, "data")
	LicensedStateDir = filepath.Join(StateDir, "licensed")
	KeyringDir       = filepath.Join(StateDir, "keyring")
	SnapshotsDir     = filepath.Join(StateDir, "snapshots")
	LedgerDir        = filepath.Join(LicensedStateDir, "ledger")

	ConfigDir    = filepath.Join(StateDir, "config")
	FilesDir     = filepath.Join(StateDir, "vfs")
	ServerLogDir = filepath.Join(StateDir, "log")
	SetupLogDir  = filepath.Join(ServerLogDir, "setup")

	// SetupDir is ss-setup's own state.
	SetupDir     = filepath.Join(StateDir, "setup")
	TxnDir       = filepath.Join(SetupDir, "txn")
	ReceiptsDir  = filepath.Join(SetupDir, "receipts")
	OriginalsDir = filepath.Join(SetupDir, "originals")
	StateFile    = filepath.Join(SetupDir, "state.json")
	// OpenedPortsFile tells which ports ss-setup opened.
	OpenedPortsFile = filepath.Join(SetupDir, "opened-ports.json")
	// TrustFile holds the newest signed metadata that this machine has seen,
	// UpdatesFile what the last check for updates found.
	TrustFile   = filepath.Join(SetupDir, "trust.json")
	UpdatesFile = filepath.Join(SetupDir, "updates.json")
	// DownloadDir is where releases are downloaded to.
	DownloadDir = filepath.Join(SetupDir, "download")
	// ImportDir holds what is imported while a run goes on; it goes with the run.
	ImportDir = filepath.Join(SetupDir, "import")
	// ImportedDir keeps stores as they were imported from an older product, where the server may read them.
	ImportedDir = filepath.Join(SnapshotsDir, "imported")

	// BinDir is where commands for the PATH go; there is only one place.
	BinDir         = ProgramDir
	LocalBinDir    = ProgramDir
	FallbackBinDir = ProgramDir

	// StateDir holds all that is not a program.
	StateDir = filepath.Join(folder(windows.FOLDERID_ProgramData, "ProgramData"), "SS Server")
)

const (
	// OpenFile in a generation's folder says that users may use it: the commit point.
	OpenFile = "open"
	// LockFile is the name of the global mutex of whoever changes the machine.
	LockFile = "ss-setup"
	// SetupName is ss-setup's file name.
	SetupName = "ss-setup.exe"
)

func folder(known *windows.KNOWNFOLDERID, usual string) string {
	if dir, err := windows.KnownFolderPath(known, windows.KF_FLAG_DEFAULT); err == nil && filepath.IsAbs(dir) {
		return filepath.Clean(dir)
	}
	return filepath.Join(filepath.VolumeName(SystemDir)+`\`, usual)
}

// SystemDir is where Windows itself lies.
var SystemDir = systemDir()

func systemDir() string {
	if dir, err := windows.GetSystemWindowsDirectory(); err == nil && filepath.IsAbs(dir) {
		return dir
	}
	return `C:\Windows`
}

// Release is the folder of one release.
func Release(id string) string { return filepath.Join(ReleasesDir, id) }

// Generation is the folder of generation n.
func Generation(n int) string { return filepath.Join(GenerationsDir, strconv.Itoa(n)) }

// ServerData is the store of ss-server in generation n.
func ServerData(n int) string { return filepath.Join(ServerStateDir, strconv.Itoa(n)) }

// Imported is where the store of generation n lies as it was imported.
func Imported(n int) string { return filepath.Join(ImportedDir, strconv.Itoa(n)) }

// LicensedData is the store of ss-licensed in generation n.
func LicensedData(n int) string { return filepath.Join(LicensedStateDir, strconv.Itoa(n)) }

// Receipt is the receipt of generation n.
func Receipt(n int) string { return filepath.Join(ReceiptsDir, strconv.Itoa(n)+".json") }

// Program is a program of a release.
func Program(release, name string) string {
	return filepath.Join(Release(release), "bin", name+".exe")
}

// CurrentTarget is what the pointer Current holds for generation n.
func CurrentTarget(n int) string { return strconv.Itoa(n) }

// GenerationPointers are the pointers in the folder of a generation. Its data need
// none: services are told the number.
func GenerationPointers(_ int, release string) []Link {
	return []Link{{Path: "release", Target: release}}
}

// Engine is the folder of the copy of ss-setup with the given digest.
func Engine(digest string) string { return filepath.Join(EngineDir, digest) }
