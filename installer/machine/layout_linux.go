package machine

import (
	"path"
	"strconv"
)

// The folders and files of an installation. Paths are those of the machine that
// is changed; FS puts its Root in front of them.
const (
	ProgramDir     = "/opt/ss-server"
	ReleasesDir    = ProgramDir + "/releases"
	GenerationsDir = ProgramDir + "/generations"
	EngineDir      = ProgramDir + "/engine"
	// Current is the link that decides which generation serves.
	Current = ProgramDir + "/current"

	ServerStateDir   = "/var/lib/ss-server"
	LicensedStateDir = "/var/lib/ss-licensed"
	KeyringDir       = ServerStateDir + "/keyring"
	SnapshotsDir     = ServerStateDir + "/snapshots"
	LedgerDir        = LicensedStateDir + "/ledger"

	ConfigDir    = "/etc/ss-server"
	FilesDir     = "/srv/ss-server"
	ServerLogDir = "/var/log/ss-server"
	SetupLogDir  = "/var/log/ss-setup"

	// SetupDir is ss-setup's own state.
	SetupDir        = "/var/lib/ss-setup"
	TxnDir          = SetupDir + "/txn"
	ReceiptsDir     = SetupDir + "/receipts"
	OriginalsDir    = SetupDir + "/originals"
	StateFile       = SetupDir + "/state.json"
	OpenedPortsFile = SetupDir + "/opened-ports.json"
	// TrustFile holds the newest signed metadata that this machine has seen,
	// UpdatesFile what the last check for updates found.
	TrustFile   = SetupDir + "/trust.json"
	UpdatesFile = SetupDir + "/updates.json"
	// DownloadDir is where releases are downloaded to.
	DownloadDir = SetupDir + "/download"
	// ImportDir holds what is imported while a run goes on; it goes with the run.
	ImportDir = SetupDir + "/import"
	// ImportedDir keeps stores as they were imported from an older product, where the server may read them.
	ImportedDir = SnapshotsDir + "/imported"

	// LockFile is locked, never deleted, by whoever changes the machine.
	LockFile = "/run/ss-setup.lock"

	// BinDir is where commands for the PATH go, in order of preference.
	BinDir         = "/usr/bin"
	LocalBinDir    = "/usr/local/bin"
	FallbackBinDir = ProgramDir + "/bin"

	// OpenFile in a generation's folder says that users may use it: the commit point.
	OpenFile = "open"
	// SetupName is ss-setup's file name.
	SetupName = "ss-setup"
)

// Release is the folder of one release.
func Release(id string) string { return path.Join(ReleasesDir, id) }

// Generation is the folder of generation n.
func Generation(n int) string { return path.Join(GenerationsDir, strconv.Itoa(n)) }

// ServerData is the store of ss-server in generation n.
func ServerData(n int) string { return path.Join(ServerStateDir, strconv.Itoa(n)) }

// Imported is where the store of generation n lies as it was imported.
func Imported(n int) string { return path.Join(ImportedDir, strconv.Itoa(n)) }

// LicensedData is the store of ss-licensed in generation n.
func LicensedData(n int) string { return path.Join(LicensedStateDir, strconv.Itoa(n)) }

// Receipt is the receipt of generation n.
func Receipt(n int) string { return path.Join(ReceiptsDir, strconv.Itoa(n)+".json") }

// Program is a program of a release.
func Program(release, name string) string { return path.Join(Release(release), "bin", name) }

// CurrentTarget is what the pointer Current holds for generation n.
func CurrentTarget(n int) string { return path.Join("generations", strconv.Itoa(n)) }

// GenerationPointers are the pointers in the folder of generation n: to its
// release and its data.
func GenerationPointers(n int, release string) []Link {
	return []Link{
		{Path: "release", Target: "../../releases/" + release},
		{Path: "data", Target: ServerData(n)},
		{Path: "licensed", Target: LicensedData(n)},
	}
}

// Engine is the folder of the copy of ss-setup with the given digest.
func Engine(digest string) string { return path.Join(EngineDir, digest) }
