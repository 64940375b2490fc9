package audit

import (
	"fmt"

	"countersign.dev/countersign"
)

// Verdict is what an audit found. The zero Verdict is no acquittal: see Err.
type Verdict struct {
	Exchanges            int                              `json:"exchanges"`        // answers with a record: released, refused and failed ones
	Refused              int                              `json:"refused"`          // of them, those that released nothing
	Reasons              map[string]int                   `json:"reasons"`          // of the refused, by the deciding code
	Untaken              int                              `json:"untaken"`          // requests that no gateway took for a question; they owe no record
	Unanswered           int                              `json:"unanswered"`       // questions to which the client got no answer at all
	ReceiptsVerified     int                              `json:"receiptsVerified"` // full receipts, offline, with statement and cosigned proof
	ReceiptsBroken       int                              `json:"receiptsBroken"`   // missing, or not verified
	AnswersWithoutRecord int                              `json:"answersWithoutRecord"`
	RecordsLost          int                              `json:"recordsLost"`    // promised or owed records that are not in their log
	Contradictions       int                              `json:"contradictions"` // logs that do not belong to what they signed
	Sizes                map[countersign.LogOrigin]uint64 `json:"logs"`           // leaves read
	Problems             []string                         `json:"problems,omitempty"`
}

// maxProblems bounds the list: a log that is broken everywhere says so soon enough.
const maxProblems = 50

func (v *Verdict) problem(format string, args ...any) {
	if len(v.Problems) < maxProblems {
		v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
	}
}

// Err is nil where every answer has its record on both sides, every promise was kept, and every receipt holds.
func (v *Verdict) Err() error {
	switch {
	case v.Exchanges == 0:
		return countersign.Refuse(countersign.CodeBadRequest, "there was nothing to audit")
	case v.AnswersWithoutRecord > 0 || v.RecordsLost > 0 || v.Contradictions > 0:
		return countersign.Refuse(countersign.CodeInconsistent, "%d answers without a record, %d records lost, %d contradictions of logs", v.AnswersWithoutRecord, v.RecordsLost, v.Contradictions)
	case v.ReceiptsBroken > 0 || v.ReceiptsVerified != v.Exchanges:
		return countersign.Refuse(countersign.CodeNoReceipt, "%d receipts verified of %d exchanges, %d missing or broken", v.ReceiptsVerified, v.Exchanges, v.ReceiptsBroken)
	}
	return nil
}
