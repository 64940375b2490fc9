package monitor

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"countersign.dev/countersign"
)

// Kind says what a finding is about.
type Kind string

// The kinds of findings.
const (
	KindSplitView       Kind = "split_view"       // the log has signed two heads that contradict each other; both are kept
	KindRewritten       Kind = "rewritten"        // the leaves that are shown are not those that the log has signed
	KindRolledBack      Kind = "rolled_back"      // the log shows less than it showed before
	KindSignature       Kind = "signature"        // what is shown as a checkpoint is not signed by the log
	KindUnwitnessed     Kind = "unwitnessed"      // no quorum of witnesses has cosigned what is shown
	KindStale           Kind = "stale"            // no quorum has cosigned anything new for too long
	KindUnreachable     Kind = "unreachable"      // the log, or a part of it, is withheld
	KindBrokenPromise   Kind = "broken_promise"   // a receipt's leaf is not where the log promised it
	KindMissingProvider Kind = "missing_provider" // the consumer received an answer of which the provider's log has no record
	KindMissingConsumer Kind = "missing_consumer" // the provider's log has a record which its consumer's log lacks: an intent that nobody closed
	KindContradiction   Kind = "contradiction"    // the two records of one exchange say different things
	KindForeignLeaf     Kind = "foreign_leaf"     // a leaf speaks for another member than the log's
	KindMissingSlots    Kind = "missing_slots"    // an hour has fewer sealed slots than minutes
	KindMalformed       Kind = "malformed"        // a leaf cannot be read

	KindMissingDestruction Kind = "missing_destruction" // a month is over, and no leaf tells that its records were destroyed
	KindMissingDeletion    Kind = "missing_deletion"    // a purpose's retention has ended, and its receiver has not said that it deleted the answers
	KindKeptRecords        Kind = "kept_records"        // fewer records were destroyed than the log's own leaves say were due
)

// Finding is one thing that does not hold. It names logs, members, services, purposes and hours; none of them is a person.
type Finding struct {
	ID         string                  `json:"id"` // the same from every monitor and in every pass: see Identify
	Kind       Kind                    `json:"kind"`
	Log        countersign.LogOrigin   `json:"log"`
	Index      *uint64                 `json:"index,omitempty"` // of the leaf that it is about
	Hour       *time.Time              `json:"hour,omitempty"`
	Service    string                  `json:"service,omitempty"`
	Consumer   string                  `json:"consumer,omitempty"`
	Purpose    countersign.PurposeCode `json:"purpose,omitempty"`
	Month      countersign.Month       `json:"month,omitempty"`      // in which records end
	Commitment string                  `json:"commitment,omitempty"` // hexadecimal: finds the records on either side
	Count      int                     `json:"count,omitempty"`
	What       string                  `json:"what"`
	Evidence   string                  `json:"evidence,omitempty"` // file below the state folder
}

// Identify gives a finding's id: 24 hexadecimal digits of a SHA-256 over what it is about, not over the words that tell of it nor over where it was seen.
func (f *Finding) Identify() string {
	sum := sha256.Sum256([]byte("countersign finding\x00" + f.key()))
	return hex.EncodeToString(sum[:12])
}

// key tells findings of two passes apart.
func (f *Finding) key() string {
	index := "-"
	if f.Index != nil {
		index = fmt.Sprint(*f.Index)
	}
	hour, month := "", ""
	if f.Hour != nil {
		hour = f.Hour.UTC().Format(time.RFC3339)
	}
	if f.Month != 0 {
		month = f.Month.String()
	}
	return string(f.Kind) + " " + string(f.Log) + " " + index + " " + hour + " " + month + " " + f.Service + " " + f.Consumer + " " + string(f.Purpose) + " " + f.Commitment
}

// about makes a finding about a leaf.
func about(kind Kind, l *logState, e *entry, format string, args ...any) Finding {
	index, hour := e.index, e.leaf.Hour.Time()
	return Finding{Kind: kind, Log: l.cfg.Origin, Index: &index, Hour: &hour, Service: e.leaf.Service, Consumer: e.leaf.Consumer, Purpose: e.leaf.Purpose,
		Commitment: fmt.Sprintf("%x", e.leaf.Commitment[:]), What: fmt.Sprintf(format, args...)}
}

// LogReport is what a pass saw of one log.
type LogReport struct {
	Origin    countersign.LogOrigin `json:"origin"`
	Owner     string                `json:"owner,omitempty"`
	Size      uint64                `json:"size"`
	Grown     uint64                `json:"grown"` // leaves since the pass before
	Exchanges uint64                `json:"exchanges"`
	Slots     uint64                `json:"slots"`
	Cosigned  *time.Time            `json:"cosigned,omitempty"` // newest cosignature of what is shown
	Staleness float64               `json:"stalenessSeconds"`

	Destroyed        uint64            `json:"destroyed,omitempty"`        // records whose destruction is on record
	DestroyedThrough countersign.Month `json:"destroyedThrough,omitempty"` // newest month of these leaves
}

// Report is one pass's result.
type Report struct {
	At       time.Time    `json:"at"`
	Status   string       `json:"status"` // clean or findings
	Logs     []*LogReport `json:"logs"`
	Paired   uint64       `json:"paired"`   // exchanges that stand on both sides
	Waiting  int          `json:"waiting"`  // records whose other side may still come
	Receipts int          `json:"receipts"` // that were held against their logs
	Findings []Finding    `json:"findings"`
}

// ParseReport reads a report as it is written in JSON. It may come from anybody: what is not a report's is refused, and so is more than its bounds.
func ParseReport(text []byte) (*Report, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	r := new(Report)
	err := dec.Decode(r)
	if err == nil {
		if _, end := dec.Token(); end != io.EOF {
			err = errors.New("something follows the report")
		}
	}
	switch {
	case err != nil:
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "this is not a report of countersign monitor: give what it prints with --json, or shows at /report")
	case len(r.Findings) > maxFindings:
		return nil, countersign.Refuse(countersign.CodeTooLarge, "the report has %d findings: %d at most", len(r.Findings), maxFindings)
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		if f.ID != f.Identify() || f.Kind == "" || f.Log == "" || len(f.What) > maxText {
			return nil, countersign.Refuse(countersign.CodeBadRequest, "finding %d of the report has another id than what it tells: the report was changed, or is of another program", i)
		}
	}
	return r, nil
}

// maxText bounds a finding's words.
const maxText = 4 << 10

// maxFindings bounds a report: a log that is broken everywhere says so soon enough.
const maxFindings = 1000

func (r *Report) find(f Finding) {
	if len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, f)
	}
}

func (r *Report) tell(kind Kind, l *logState, format string, args ...any) *Finding {
	r.find(Finding{Kind: kind, Log: l.cfg.Origin, What: fmt.Sprintf(format, args...)})
	return &r.Findings[len(r.Findings)-1]
}
