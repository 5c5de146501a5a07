package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Registered reads the entry of a service.
func (scm) Registered(name string) (Registration, error) {
	s, err := openService(name, windows.SERVICE_QUERY_CONFIG)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return Registration{}, fmt.Errorf("service %s: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return Registration{}, fmt.Errorf("read the entry of %s: %w", name, err)
	}
	defer s.close()
	c, err := s.config()
	if err != nil {
		return Registration{}, fmt.Errorf("read the entry of %s: %w", name, err)
	}
	r := Registration{
		Service: name, DisplayName: windows.UTF16PtrToString(c.DisplayName),
		Command: windows.UTF16PtrToString(c.BinaryPathName), Account: windows.UTF16PtrToString(c.ServiceStartName),
		Start: StartByHand,
	}
	switch c.StartType {
	case windows.SERVICE_AUTO_START:
		r.Start = StartAtBoot
		if later, err := s.more(windows.SERVICE_CONFIG_DELAYED_AUTO_START_INFO); err != nil {
			return Registration{}, fmt.Errorf("read when %s starts: %w", name, err)
		} else if later != nil && *(*uint32)(unsafe.Pointer(&later[0])) != 0 {
			r.Start = StartLater
		}
	case windows.SERVICE_DISABLED:
		r.Start = StartDisabled
	}
	if r.Description, err = s.description(); err != nil {
		return Registration{}, fmt.Errorf("read the description of %s: %w", name, err)
	}
	if r.Restarts, err = s.restarts(); err != nil {
		return Registration{}, fmt.Errorf("read what happens when %s dies: %w", name, err)
	}
	return r, nil
}

// Register makes or changes an entry, flushed.
func (scm) Register(ctx context.Context, r Registration) error {
	s, err := openService(r.Service, windows.SERVICE_CHANGE_CONFIG|windows.SERVICE_START)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		s, err = createService(ctx, r)
	} else if err == nil {
		err = s.change(r)
	}
	if err != nil {
		return fmt.Errorf("register %s: %w", r.Service, explain(err))
	}
	defer s.close()
	if err := s.decorate(r); err != nil {
		return fmt.Errorf("register %s: %w", r.Service, err)
	}
	return flushService(r.Service)
}

// createService waits for an entry of that name that is being deleted: somebody
// looks at it still.
func createService(ctx context.Context, r Registration) (*service, error) {
	manager, err := windows.OpenSCManager(nil, nil, windows.SC_MANAGER_CONNECT|windows.SC_MANAGER_CREATE_SERVICE)
	if err != nil {
		return nil, fmt.Errorf("reach the service manager: %w", err)
	}
	var h windows.Handle
	err = whileMarked(ctx, deleteBound, func() (err error) {
		h, err = newEntry(manager, r, windows.CreateService)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, windows.CloseServiceHandle(manager))
	}
	return &service{manager, h, r.Service}, nil
}

// newEntry makes an entry by Windows' CreateService. No account that it is given has a
// password.
func newEntry(
	manager windows.Handle, r Registration,
	create func(manager windows.Handle, name, display *uint16, access, kind, start, onError uint32, path, group *uint16, tag *uint32, depends, user, password *uint16) (windows.Handle, error),
) (windows.Handle, error) {
	return create(
		manager, windows.StringToUTF16Ptr(r.Service), text(r.DisplayName),
		windows.SERVICE_CHANGE_CONFIG|windows.SERVICE_START, windows.SERVICE_WIN32_OWN_PROCESS,
		startType(r.Start), windows.SERVICE_ERROR_NORMAL, text(r.Command), nil, nil, nil, text(r.Account), nil)
}

// whileMarked repeats a call for as long as an entry of that name is being deleted.
func whileMarked(ctx context.Context, bound time.Duration, call func() error) (err error) {
	waitUntil(ctx, bound, func() bool {
		err = call()
		return !errors.Is(err, windows.ERROR_SERVICE_MARKED_FOR_DELETE)
	})
	return err
}

// untilGone waits until an entry cannot be opened any more.
func untilGone(ctx context.Context, bound time.Duration, open func() error) error {
	gone := waitUntil(ctx, bound, func() bool { return errors.Is(open(), windows.ERROR_SERVICE_DOES_NOT_EXIST) })
	if !gone {
		return explain(windows.ERROR_SERVICE_MARKED_FOR_DELETE)
	}
	return nil
}

// text is nil for an empty string, which leaves a field as it is.
func text(s string) *uint16 {
	if s == "" {
		return nil
	}
	return windows.StringToUTF16Ptr(s)
}

func startType(t StartType) uint32 {
	switch t {
	case StartAtBoot, StartLater:
		return windows.SERVICE_AUTO_START
	case StartByHand:
		return windows.SERVICE_DEMAND_START
	case StartDisabled:
		return windows.SERVICE_DISABLED
	}
	return windows.SERVICE_NO_CHANGE
}

func (s *service) change(r Registration) error {
	return windows.ChangeServiceConfig(
		s.handle, windows.SERVICE_NO_CHANGE, startType(r.Start), windows.SERVICE_NO_CHANGE,
		text(r.Command), nil, nil, nil, text(r.Account), nil, text(r.DisplayName))
}

// decorate sets what the manager keeps beside the entry proper. The service's own
// identifier goes into its token whatever account it runs as; access lists name
// that alone.
func (s *service) decorate(r Registration) error {
	if r.Description != "" {
		d := windows.SERVICE_DESCRIPTION{Description: windows.StringToUTF16Ptr(r.Description)}
		if err := s.set(windows.SERVICE_CONFIG_DESCRIPTION, unsafe.Pointer(&d)); err != nil {
			return fmt.Errorf("set the description: %w", err)
		}
	}
	if r.Start == StartAtBoot || r.Start == StartLater {
		var delayed uint32
		if r.Start == StartLater {
			delayed = 1
		}
		if err := s.set(windows.SERVICE_CONFIG_DELAYED_AUTO_START_INFO, unsafe.Pointer(&delayed)); err != nil {
			return fmt.Errorf("set the start: %w", err)
		}
	}
	if r.Restarts == nil {
		return nil
	}
	identifier := uint32(windows.SERVICE_SID_TYPE_UNRESTRICTED)
	if err := s.set(windows.SERVICE_CONFIG_SERVICE_SID_INFO, unsafe.Pointer(&identifier)); err != nil {
		return fmt.Errorf("set the type of the identifier: %w", err)
	}
	return s.setRestarts(r.Restarts)
}

// set changes one of the settings that came to Windows later. A manager that does
// not know one goes without: that of wine knows the description alone.
func (s *service) set(level uint32, info unsafe.Pointer) error {
	err := windows.ChangeServiceConfig2(s.handle, level, (*byte)(info))
	if errors.Is(err, windows.ERROR_INVALID_LEVEL) {
		return nil
	}
	return err
}

func (s *service) setRestarts(r *Restarts) error {
	actions := make([]windows.SC_ACTION, max(1, len(r.AfterMilliseconds)))
	for i, after := range r.AfterMilliseconds {
		actions[i] = windows.SC_ACTION{Type: windows.SC_ACTION_RESTART, Delay: after}
	}
	info := windows.SERVICE_FAILURE_ACTIONS{
		ResetPeriod: r.ForgetSeconds, ActionsCount: uint32(len(r.AfterMilliseconds)), Actions: &actions[0],
	}
	if err := s.set(windows.SERVICE_CONFIG_FAILURE_ACTIONS, unsafe.Pointer(&info)); err != nil {
		return fmt.Errorf("set what happens when it dies: %w", err)
	}
	// Also when it ends with an error of its own, not only when its process dies.
	always := uint32(1)
	if err := s.set(windows.SERVICE_CONFIG_FAILURE_ACTIONS_FLAG, unsafe.Pointer(&always)); err != nil {
		return fmt.Errorf("set what happens when it fails: %w", err)
	}
	return nil
}

// Unregister removes an entry and waits until nobody looks at it any more. A boot may
// have started the service since it was stopped; once its entry is marked nothing does,
// so it is stopped then: an entry of a service that runs never goes.
func (scm) Unregister(ctx context.Context, name string) error {
	s, err := openService(name, windows.DELETE|toStop)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove service %s: %w", name, explain(err))
	}
	err = windows.DeleteService(s.handle)
	if err == nil || errors.Is(err, windows.ERROR_SERVICE_MARKED_FOR_DELETE) {
		err = s.stop(ctx)
	}
	s.close()
	if err != nil {
		return fmt.Errorf("remove service %s: %w", name, explain(err))
	}
	err = untilGone(ctx, deleteBound, func() error {
		s, err := openService(name, windows.SERVICE_QUERY_STATUS)
		if err == nil {
			s.close()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("remove service %s: %w", name, err)
	}
	return flushServices()
}

// status asks for the state and the process.
func (s *service) status() (windows.SERVICE_STATUS_PROCESS, error) {
	var status windows.SERVICE_STATUS_PROCESS
	var needed uint32
	err := windows.QueryServiceStatusEx(s.handle, windows.SC_STATUS_PROCESS_INFO,
		(*byte)(unsafe.Pointer(&status)), uint32(unsafe.Sizeof(status)), &needed)
	return status, err
}

func (s *service) config() (*windows.QUERY_SERVICE_CONFIG, error) {
	for size := uint32(1024); ; {
		buffer := make([]byte, size)
		c := (*windows.QUERY_SERVICE_CONFIG)(unsafe.Pointer(&buffer[0]))
		err := windows.QueryServiceConfig(s.handle, c, size, &size)
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, windows.ERROR_INSUFFICIENT_BUFFER) || int(size) <= len(buffer) {
			return nil, err
		}
	}
}

// more reads one of the later settings; nil where the manager does not know it.
func (s *service) more(level uint32) ([]byte, error) {
	for size := uint32(1024); ; {
		buffer := make([]byte, size)
		err := windows.QueryServiceConfig2(s.handle, level, &buffer[0], size, &size)
		switch {
		case err == nil:
			return buffer, nil
		case errors.Is(err, windows.ERROR_INVALID_LEVEL):
			return nil, nil
		case !errors.Is(err, windows.ERROR_INSUFFICIENT_BUFFER) || int(size) <= len(buffer):
			return nil, err
		}
	}
}

func (s *service) description() (string, error) {
	buffer, err := s.more(windows.SERVICE_CONFIG_DESCRIPTION)
	if err != nil || buffer == nil {
		return "", err
	}
	return windows.UTF16PtrToString((*windows.SERVICE_DESCRIPTION)(unsafe.Pointer(&buffer[0])).Description), nil
}

func (s *service) restarts() (*Restarts, error) {
	buffer, err := s.more(windows.SERVICE_CONFIG_FAILURE_ACTIONS)
	if err != nil || buffer == nil {
		return nil, err
	}
	info := (*windows.SERVICE_FAILURE_ACTIONS)(unsafe.Pointer(&buffer[0]))
	r := &Restarts{ForgetSeconds: info.ResetPeriod}
	if info.Actions == nil {
		return r, nil
	}
	for _, a := range unsafe.Slice(info.Actions, info.ActionsCount) {
		if a.Type == windows.SC_ACTION_RESTART {
			r.AfterMilliseconds = append(r.AfterMilliseconds, a.Delay)
		}
	}
	return r, nil
}

const servicesKey = `HKLM\SYSTEM\CurrentControlSet\Services`

func flushService(name string) error { return flushKey(servicesKey + `\` + name) }

func flushServices() error { return flushKey(servicesKey) }
