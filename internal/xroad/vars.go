package xroad

// Map gives the variables by name.
func (v *Vars) Map() map[string]string {
	m := make(map[string]string, len(v.names))
	for i, n := range v.names {
		m[n] = v.values[i]
	}
	return m
}
