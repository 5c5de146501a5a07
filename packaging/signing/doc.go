// Package signing is the vendor's half of trust: the keys, and the metadata that
// they sign. A Vault is a folder with
//
//	keys/<role>-<id>.pem      private keys (Ed25519, PKCS#8), one a file, mode 0600
//	metadata/N.root.json …    everything that was signed, as a repository serves it
//	root.json                 the newest root, to build ss-setup with
//
// A machine that only refreshes needs the keys of timestamp and snapshot, one that
// publishes also that of targets; the key of root can stay on a disk in a safe.
//
// timestamp.json is written last and names everything else, so whatever is cut, the
// metadata in force are whole.
package signing
