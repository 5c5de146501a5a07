package cli

import (
	"context"

	"ss-setup/installer/machine"
)

// useSystem has nothing to add: files tell all of services and settings.
func (*session) useSystem() {}

// asService runs the recovery that begins by itself. Service managers here start
// programs as they are.
func (*session) asService(ctx context.Context, do func(context.Context) (*ending, error)) (*ending, error) {
	return do(ctx)
}

// currentProgram is a program of the release in force by a path that stays.
func currentProgram(name string) string { return machine.Current + "/release/bin/" + name }
