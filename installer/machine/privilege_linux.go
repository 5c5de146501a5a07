package machine

import "os"

// Privileged tells whether this process may change the machine.
func Privileged() bool { return os.Geteuid() == 0 }

// PrivilegedUser is who may change the machine.
const PrivilegedUser = "root"
