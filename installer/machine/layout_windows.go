package machine

import (
	"os"
	"path/filepath"
	"strconv"
)

// The folders and files of an installation: programs below %ProgramFiles%, what
// changes below %ProgramData%.
var (
	ProgramDir     = filepath.Join(folder("ProgramFiles", `C:\Program Files`), "SS Server")
	ReleasesDir    = filepath.Join(ProgramDir, "releases")
	EngineDir      = filepath.Join(stateDir, "engine")
	GenerationsDir = filepath.Join(stateDir, "generations")
	// Current is a file here: it names the generation that serves, for tools.
	Current = filepath.Join(stateDir, "current")

	ServerStateDir   = filepath.Join(stateDir, "data")
	LicensedStateDir = filepath.Join(stateDir, "licensed")
	KeyringDir       = filepath.Join(stateDir, "keyring")
	SnapshotsDir     = filepath.Join(stateDir, "snapshots")
	LedgerDir        = filepath.Join(LicensedStateDir, "ledger")

	ConfigDir    = filepath.Join(stateDir, "config")
	FilesDir     = filepath.Join(stateDir, "vfs")
	ServerLogDir = filepath.Join(stateDir, "log")
	SetupLogDir  = ServerLogDir

	// SetupDir is ss-setup's own state.
	SetupDir        = filepath.Join(stateDir, "setup")
	TxnDir          = filepath.Join(SetupDir, "txn")
	ReceiptsDir     = filepath.Join(SetupDir, "receipts")
	OriginalsDir    = filepath.Join(SetupDir, "originals")
	StateFile       = filepath.Join(SetupDir, "state.json")
	OpenedPortsFile = filepath.Join(SetupDir, "opened-ports.json")
	// TrustFile holds the newest signed metadata that this machine has seen,
	// UpdatesFile what the last check for updates found.
	TrustFile   = filepath.Join(SetupDir, "trust.json")
	UpdatesFile = filepath.Join(SetupDir, "updates.json")
	// DownloadDir is where releases are downloaded to.
	DownloadDir = filepath.Join(SetupDir, "download")

	// LockFile stands for the global mutex.
	LockFile = filepath.Join(SetupDir, "lock")

	// BinDir is where commands for the PATH go; there is only one place.
	BinDir         = ProgramDir
	LocalBinDir    = ProgramDir
	FallbackBinDir = ProgramDir

	stateDir = filepath.Join(folder("ProgramData", `C:\ProgramData`), "SS Server")
)

// OpenFile in a generation's folder says that users may use it: the commit point.
const OpenFile = "open"

func folder(variable, usual string) string {
	if dir := os.Getenv(variable); dir != "" {
		return dir
	}
	return usual
}

// Release is the folder of one release.
func Release(id string) string { return filepath.Join(ReleasesDir, id) }

// Generation is the folder of generation n.
func Generation(n int) string { return filepath.Join(GenerationsDir, strconv.Itoa(n)) }

// ServerData is the store of ss-server in generation n.
func ServerData(n int) string { return filepath.Join(ServerStateDir, strconv.Itoa(n)) }

// LicensedData is the store of ss-licensed in generation n.
func LicensedData(n int) string { return filepath.Join(LicensedStateDir, strconv.Itoa(n)) }

// Receipt is the receipt of generation n.
func Receipt(n int) string { return filepath.Join(ReceiptsDir, strconv.Itoa(n)+".json") }

// Engine is the folder of the copy of ss-setup with the given digest.
func Engine(digest string) string { return filepath.Join(EngineDir, digest) }
