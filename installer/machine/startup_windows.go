package machine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// Find looks through the entries of the manager. An entry that it does not know any more,
// or that is a driver's, is none.
func (scm) Find(_ context.Context, prefix string) ([]string, error) {
	k, err := openKey(servicesKey, registry.ENUMERATE_SUB_KEYS)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	names, err := k.ReadSubKeyNames(-1)
	if err != nil {
		return nil, fmt.Errorf("look for services %s*: %w", prefix, err)
	}
	var found []string
	for _, name := range names {
		if len(name) < len(prefix) || !strings.EqualFold(name[:len(prefix)], prefix) {
			continue
		}
		s, err := openService(name, windows.SERVICE_QUERY_STATUS)
		if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for service %s: %w", name, err)
		}
		s.close()
		found = append(found, name)
	}
	slices.Sort(found)
	return found, nil
}

// StartLinks are none: when a service starts is in its entry.
func (scm) StartLinks(string) ([]Link, error) { return nil, nil }

// Starters are none: the manager does not start what is disabled.
func (scm) Starters(context.Context, string, bool) ([]string, error) { return nil, nil }
