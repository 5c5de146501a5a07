package answers

import (
	"crypto/rand"
	"fmt"
	"io"
	"math/big"
)

// A node that is given no name gets one that people can say over the phone.
var (
	moods = []string{
		"able", "agile", "amber", "bold", "brave", "bright", "calm", "candid", "clever", "cosmic", "crisp", "curious",
		"daring", "eager", "earnest", "fair", "fearless", "gentle", "glad", "golden", "graceful", "happy", "honest",
		"jolly", "keen", "kind", "lively", "loyal", "lucid", "merry", "modest", "noble", "patient", "polite", "proud",
		"quiet", "quick", "romantic", "serene", "sharp", "silent", "sincere", "steady", "stern", "sunny", "swift",
		"tender", "tidy", "vivid", "warm", "wise", "witty", "young", "zesty",
	}
	people = []string{
		"abel", "ada", "archimedes", "babbage", "bell", "bohr", "boole", "carson", "cantor", "curie", "darwin", "euclid",
		"euler", "faraday", "fermat", "fermi", "franklin", "galileo", "gauss", "germain", "goodall", "hamilton",
		"heisenberg", "hertz", "hopper", "hubble", "hypatia", "kepler", "kovalevskaya", "lamarr", "lagrange", "leibniz",
		"lovelace", "maxwell", "meitner", "mendel", "newton", "nobel", "noether", "ohm", "pascal", "pasteur", "planck",
		"poincare", "ptolemy", "raman", "riemann", "shannon", "tesla", "turing", "volta", "wiles", "wright", "yalow",
	}
)

// NewNodeID draws a name for a node, as in romantic-lovelace.
func NewNodeID(random io.Reader) (string, error) {
	var words [2]string
	for i, list := range [][]string{moods, people} {
		n, err := rand.Int(random, big.NewInt(int64(len(list))))
		if err != nil {
			return "", fmt.Errorf("draw a name for the node: %w", err)
		}
		words[i] = list[n.Int64()]
	}
	return words[0] + "-" + words[1], nil
}
