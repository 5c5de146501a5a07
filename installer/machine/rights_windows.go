package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"unsafe"

	"golang.org/x/sys/windows"
)

// serviceRight is SE_SERVICE_LOGON_NAME: to log on as a service.
const serviceRight = "SeServiceLogonRight"

// The rights on the policy of the machine that changing somebody's rights needs.
const (
	policyCreateAccount = 0x10  // POLICY_CREATE_ACCOUNT
	policyLookupNames   = 0x800 // POLICY_LOOKUP_NAMES
)

// lsaString is LSA_UNICODE_STRING; lengths are in bytes.
type lsaString struct {
	length, capacity uint16
	text             *uint16
}

func newLSAString(text string) (lsaString, error) {
	units, err := windows.UTF16FromString(text)
	if err != nil {
		return lsaString{}, err
	}
	return lsaString{uint16(2 * (len(units) - 1)), uint16(2 * len(units)), &units[0]}, nil
}

func (s lsaString) String() string {
	return windows.UTF16ToString(unsafe.Slice(s.text, s.length/2))
}

// lsaAttributes is LSA_OBJECT_ATTRIBUTES, of which nothing is used.
type lsaAttributes struct {
	length uint32
	_      uintptr
	_      uintptr
	_      uint32
	_, _   uintptr
}

// policy is what the Local Security Authority is asked for. Its calls return the status
// that the system returns.
type policy interface {
	rights(account *windows.SID) ([]string, windows.NTStatus)
	add(account *windows.SID, right *lsaString) windows.NTStatus
	remove(account *windows.SID, right *lsaString) windows.NTStatus
}

// NewLogonRights are those of the machine.
func NewLogonRights() LogonRights { return logonRights{withPolicy, sidOf} }

type logonRights struct {
	with   func(do func(policy) error) error
	lookup func(account string) (*windows.SID, error)
}

// MayServe implements LogonRights.
func (l logonRights) MayServe(account string) (may bool, err error) {
	err = l.of(account, func(p policy, sid *windows.SID) error {
		rights, status := p.rights(sid)
		if status == windows.STATUS_OBJECT_NAME_NOT_FOUND {
			return nil // it has no rights of its own
		}
		for _, r := range rights {
			may = may || r == serviceRight
		}
		return failure(status)
	})
	return may, err
}

// AllowToServe implements LogonRights.
func (l logonRights) AllowToServe(account string) error {
	return l.change(account, func(p policy, sid *windows.SID, right *lsaString) windows.NTStatus { return p.add(sid, right) })
}

// ForbidToServe implements LogonRights. One that may not is no error.
func (l logonRights) ForbidToServe(account string) error {
	return l.change(account, func(p policy, sid *windows.SID, right *lsaString) windows.NTStatus {
		status := p.remove(sid, right)
		if status == windows.STATUS_OBJECT_NAME_NOT_FOUND {
			return windows.STATUS_SUCCESS
		}
		return status
	})
}

func (l logonRights) change(account string, do func(policy, *windows.SID, *lsaString) windows.NTStatus) error {
	right, err := newLSAString(serviceRight)
	if err != nil {
		return err
	}
	return l.of(account, func(p policy, sid *windows.SID) error { return failure(do(p, sid, &right)) })
}

func (l logonRights) of(account string, do func(policy, *windows.SID) error) error {
	sid, err := l.lookup(account)
	if err == nil {
		err = l.with(func(p policy) error { return do(p, sid) })
	}
	if err != nil {
		return fmt.Errorf("right of %s to log on as a service: %w", account, err)
	}
	return nil
}

// sidOf looks up an account; fs.ErrNotExist when there is none.
func sidOf(account string) (*windows.SID, error) {
	sid, _, _, err := windows.LookupSID("", account)
	if errors.Is(err, windows.ERROR_NONE_MAPPED) {
		err = fmt.Errorf("there is no account %s: %w", account, fs.ErrNotExist)
	}
	return sid, err
}

func failure(status windows.NTStatus) error {
	if status == windows.STATUS_SUCCESS {
		return nil
	}
	return status.Errno()
}

var (
	lsaOpenPolicy             = advapi32.NewProc("LsaOpenPolicy")
	lsaClose                  = advapi32.NewProc("LsaClose")
	lsaFreeMemory             = advapi32.NewProc("LsaFreeMemory")
	lsaEnumerateAccountRights = advapi32.NewProc("LsaEnumerateAccountRights")
	lsaAddAccountRights       = advapi32.NewProc("LsaAddAccountRights")
	lsaRemoveAccountRights    = advapi32.NewProc("LsaRemoveAccountRights")
)

func withPolicy(do func(policy) error) error {
	var attributes lsaAttributes
	attributes.length = uint32(unsafe.Sizeof(attributes))
	var h livePolicy
	status, _, _ := lsaOpenPolicy.Call(0, uintptr(unsafe.Pointer(&attributes)), policyCreateAccount|policyLookupNames, uintptr(unsafe.Pointer(&h)))
	if err := failure(windows.NTStatus(status)); err != nil {
		return fmt.Errorf("open the security policy: %w", err)
	}
	err := do(h)
	_, _, _ = lsaClose.Call(uintptr(h))
	return err
}

// livePolicy is an open handle of the machine's policy.
type livePolicy uintptr

func (h livePolicy) rights(account *windows.SID) ([]string, windows.NTStatus) {
	var list *lsaString
	var count uint32
	status, _, _ := lsaEnumerateAccountRights.Call(uintptr(h), uintptr(unsafe.Pointer(account)), uintptr(unsafe.Pointer(&list)), uintptr(unsafe.Pointer(&count)))
	if status != 0 || list == nil {
		return nil, windows.NTStatus(status)
	}
	var found []string
	for _, right := range unsafe.Slice(list, count) {
		found = append(found, right.String())
	}
	_, _, _ = lsaFreeMemory.Call(uintptr(unsafe.Pointer(list)))
	return found, windows.STATUS_SUCCESS
}

func (h livePolicy) add(account *windows.SID, right *lsaString) windows.NTStatus {
	status, _, _ := lsaAddAccountRights.Call(uintptr(h), uintptr(unsafe.Pointer(account)), uintptr(unsafe.Pointer(right)), 1)
	return windows.NTStatus(status)
}

func (h livePolicy) remove(account *windows.SID, right *lsaString) windows.NTStatus {
	const notAll = 0
	status, _, _ := lsaRemoveAccountRights.Call(uintptr(h), uintptr(unsafe.Pointer(account)), notAll, uintptr(unsafe.Pointer(right)), 1)
	return windows.NTStatus(status)
}
