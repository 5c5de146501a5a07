package stage

// Failed is what a write that fails does.
func (f *file) Failed(err error) { f.note(0, 0, err) }
