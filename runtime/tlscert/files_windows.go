package tlscert

import (
	"fmt"
	"os"
)

// exposed has nothing to tell: what an access list means for whom is told by icacls.
func exposed(string) string { return "" }

// readableCure is how the account of this process gets to read path.
func readableCure(path string) string {
	account := `NT SERVICE\ss-server`
	if name := os.Getenv("USERNAME"); name != "" {
		account = name
	}
	return fmt.Sprintf("let the service's account in: icacls %q /grant %q:R", path, account)
}
