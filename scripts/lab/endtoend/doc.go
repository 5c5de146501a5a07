// Package endtoend runs ss-setup on booted machines: real units, real accounts,
// real power cuts. Its tests read as what an administrator does and sees.
package endtoend
