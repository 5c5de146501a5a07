package crypt

// Held is how many buffers open files hold.
func Held() int64 { return held.Load() }
