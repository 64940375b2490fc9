package countersign

import "time"

// EndedLog is a log that another has taken over from, because its store was lost or it forked. Its receipts stay valid and its leaves stay in
// mirrors; no witness cosigns it any more.
type EndedLog struct {
	VKey string `json:"vkey"`
	URL  string `json:"url"` // where what is left of it can be read
	// Checkpoint is the newest that witnesses hold: a C2SP signed note with the log's own signature. What it covers is the log's history, also
	// where its operator has lost it; nothing beyond it counts.
	Checkpoint string    `json:"checkpoint"`
	From       time.Time `json:"from"` // since when its successor stands in its place
}

// PlaceBase parts the places of a gateway's logs. A gateway that has had several names a leaf of any of them by its place: the index in the present
// log as it is, and of the nth log, counted from the oldest, n times PlaceBase more. Places are small enough for a JSON number.
const PlaceBase = 1 << 48

// PlaceOf is the place of an index in the nth ended log; n is 0 for the present one.
func PlaceOf(n int, index uint64) uint64 { return uint64(n)*PlaceBase + index } //nolint:gosec // n counts logs

// SplitPlace is the reverse of PlaceOf.
func SplitPlace(place uint64) (n int, index uint64) {
	return int(place / PlaceBase), place % PlaceBase //nolint:gosec // below 2^16
}
