// Package trust decides which releases come from whoever may release the product.
// It follows The Update Framework: a chain of root metadata that starts with the one
// this program was built with says which keys may sign; timestamp, snapshot and
// targets metadata say what the releases are.
//
// Open reads metadata from a Source - a folder in a bundle, or a mirror - and gives
// back the Releases that it vouches for, or a Refusal that names the check which
// failed. What a machine has seen once it does not unlearn: Seen, kept between
// calls, is what a rollback is told by.
//
// A bundle that is older than what the machine has seen is no attack by itself: an
// administrator may well repair from the medium of the first install. Then the
// newest metadata seen decide: a release that they still list is trusted, one that
// was withdrawn is refused.
//
// The package writes nothing and opens no connection.
package trust
