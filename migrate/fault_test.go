package migrate

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"ss-setup/runtime/model"
)

// TestAFaultOfTheStoreIsNotTakenForAnObjects: the store writes behind what is read, so
// that its error comes back with another object, which has done nothing.
func TestAFaultOfTheStoreIsNotTakenForAnObjects(t *testing.T) {
	inner := fmt.Errorf("%w: %w", context.Canceled, &model.InvalidError{})
	taker := &taker{present: &Present{}, keys: map[model.Key]bool{}, put: func(model.Object) error { return &storeError{inner} }}
	err := taker.Take(&model.Node{Head: model.Head{Name: "one"}})
	var invalid *model.InvalidError
	if err == nil || errors.As(err, &invalid) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
