package subject

// ParseTracker opens the reading of findUsage's query to fuzzing.
func ParseTracker(query string) (userCode string, offset, limit int, err error) {
	in, err := parseTracker(query)
	if err != nil {
		return "", 0, 0, err
	}
	return in.userCode, in.offset, in.limit, nil
}

// ParseNews opens the reading of requests for news to fuzzing.
func ParseNews(text []byte) (asks int, err error) {
	in, err := parseNews(text)
	if err != nil {
		return 0, err
	}
	return len(in.Asks), nil
}
