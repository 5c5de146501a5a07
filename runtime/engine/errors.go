package engine

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"ss-setup/runtime/model"
)

// ErrTooOld: the log of changes does not reach back so far; who asks reads everything
// anew.
var ErrTooOld = errors.New("the changes asked for are no longer kept")

// NotFoundError: there is no such object.
type NotFoundError struct{ Key model.Key }

func (e *NotFoundError) Error() string { return fmt.Sprintf("there is no %s", model.Describe(e.Key)) }

// ExistsError: an object of that name is there already.
type ExistsError struct{ Key model.Key }

func (e *ExistsError) Error() string {
	return fmt.Sprintf("%s exists already; choose another name", model.Describe(e.Key))
}

// ConflictError: somebody changed the object since the caller read it. Differences are
// between the object as it is now and as the caller wants it.
type ConflictError struct {
	Key         model.Key          `json:"object"`
	Rev         uint64             `json:"rev"` // the revision to read and change now
	By          string             `json:"by"`
	Modified    time.Time          `json:"modified"`
	Differences []model.Difference `json:"differences"`
}

func (e *ConflictError) Error() string {
	fields := make([]string, len(e.Differences))
	for i, d := range e.Differences {
		fields[i] = d.Field
	}
	text := fmt.Sprintf("%s was changed by %s at %s", model.Describe(e.Key), e.By, e.Modified.Format(time.RFC3339))
	if len(fields) > 0 {
		text += ", it differs in " + strings.Join(fields, ", ")
	}
	return text + "; look at it again and repeat the change"
}

// ReferencedError: others need the object.
type ReferencedError struct {
	Key   model.Key   `json:"object"`
	Count int         `json:"count"`
	First []model.Key `json:"first"` // the first few
}

func (e *ReferencedError) Error() string {
	names := make([]string, len(e.First))
	for i, k := range e.First {
		names[i] = model.Describe(k)
	}
	text := strings.Join(names, ", ")
	if more := e.Count - len(e.First); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("%s is used by %s; change or delete these first", model.Describe(e.Key), text)
}
