//go:build linux && lab && !soak

package clients

// randomSteps is how much is done to a file at random.
const randomSteps = 300
