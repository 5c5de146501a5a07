package machine

import (
	"context"
	"fmt"
	"strconv"
)

// Registrar is a service manager that keeps services in a database of its own
// instead of files: the Windows way. What it is told is on disk when it returns.
type Registrar interface {
	// Registered tells a service's entry; fs.ErrNotExist when there is none.
	Registered(service string) (Registration, error)
	// Register makes an entry, or changes the one that is there to be like this:
	// fields that are empty stay as they are then.
	Register(ctx context.Context, r Registration) error
	// Unregister removes an entry and returns when it is gone; none is no error.
	// The service must have stopped.
	Unregister(ctx context.Context, service string) error
}

// StartType tells when a service starts.
type StartType string

// The ways in which a service starts.
const (
	StartAtBoot   StartType = "automatic"
	StartLater    StartType = "delayed" // after all that start at once
	StartByHand   StartType = "manual"
	StartDisabled StartType = "disabled"
)

// Registration is the entry of a service.
type Registration struct {
	Service     string    `json:"service"`
	DisplayName string    `json:"display_name,omitempty"`
	Description string    `json:"description,omitempty"`
	Command     string    `json:"command,omitempty"`
	Account     string    `json:"account,omitempty"`
	Start       StartType `json:"start,omitempty"`
	// Restarts is what the manager does when the service dies; nil leaves it alone.
	Restarts *Restarts `json:"restarts,omitempty"`
}

// ServiceFlag tells a program that the service manager has started it. To ask
// Windows for that is no clear contract: it looks at the parent process's session.
const ServiceFlag = "--service"

// ServiceCommand is the command in a service's entry: which release runs, on which
// generation. The path is quoted: one with a space in it names several programs
// otherwise.
func ServiceCommand(service, release string, generation int) string {
	return fmt.Sprintf(`"%s" run %s --generation %d`, Program(release, service), ServiceFlag, generation)
}

// Restarts is how a service that died is started again.
type Restarts struct {
	// After are the pauses before the first, second and every later restart.
	AfterMilliseconds []uint32 `json:"after_milliseconds"`
	// ForgetSeconds is after how long without a failure counting begins anew.
	ForgetSeconds uint32 `json:"forget_seconds"`
}

// Registry is the database in which Windows keeps settings. A key is named with
// its root: HKLM\SOFTWARE\...; what is written is on disk when a call returns.
type Registry interface {
	// Read tells the values of a key; fs.ErrNotExist when there is none.
	Read(key string) (map[string]Value, error)
	// Write sets values of a key, and makes the key and those above it.
	Write(key string, values map[string]Value) error
	// Remove removes values of a key; what is not there is no error.
	Remove(key string, values ...string) error
	// RemoveKey removes a key without keys in it; none is no error.
	RemoveKey(key string) error
	// Announce tells running programs that the environment has changed.
	Announce()
}

// Value is a value in the registry.
type Value struct {
	// Type is its REG_… number: 1 text, 2 text with %variables%, 4 a number.
	Type   uint32 `json:"type"`
	Text   string `json:"text,omitempty"`
	Number uint32 `json:"number,omitempty"`
}

// String is the value for people, with its type where that is not plain to see.
func (v Value) String() string {
	switch v.Type {
	case RegText:
		return v.Text
	case RegExpandable:
		return v.Text + " (expandable)"
	case RegNumber:
		return strconv.FormatUint(uint64(v.Number), 10)
	}
	return fmt.Sprintf("a value of type %d", v.Type)
}

// Environment is where Windows keeps the machine's own variables.
const Environment = `HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment`

// The types of values, as Windows numbers them.
const (
	RegText       = 1
	RegExpandable = 2
	RegNumber     = 4
)

// LogonRights are which accounts may run services: the right to log on as a service,
// which the Services window gives along with an account and the manager itself does not.
type LogonRights interface {
	MayServe(account string) (bool, error)
	AllowToServe(account string) error
	ForbidToServe(account string) error
}

// AccessLists sets who may do what with a folder and, by inheritance, with all
// that is in it. Lists are written as Windows writes them (SDDL).
type AccessLists interface {
	Access(path string) (string, error)
	SetAccess(path, list string) error
}
