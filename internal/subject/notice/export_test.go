package notice

// Permits opens the judgement of addresses to tests.
func Permits(h *Hooker, address string) error { return h.permits(address) }

// StopToken opens the making of stop addresses to tests.
func StopToken(v *Vault, id PersonID) string { return v.stopToken(id) }

// ReadStop opens the reading of stop addresses to fuzzing.
func ReadStop(v *Vault, token string) (PersonID, error) { return v.readStop(token) }
