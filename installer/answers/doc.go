// Package answers reads the answers file of an unattended run, and writes one: YAML
// with one flat list of keys, each the twin of a flag of ss-setup install.
//
// A file is taken as a whole or not at all. A key that nobody knows, a wrong value
// and a key whose part is not in this version are refused with file and line: an
// answer that is silently ignored installs something else than was asked for.
package answers
