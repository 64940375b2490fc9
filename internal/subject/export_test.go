package subject

// ParseTracker opens the reading of findUsage's query to fuzzing.
func ParseTracker(query string) (userCode string, offset, limit int, err error) {
	in, err := parseTracker(query)
	if err != nil {
		return "", 0, 0, err
	}
	return in.userCode, in.offset, in.limit, nil
}
