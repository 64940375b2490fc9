package audit

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"github.com/dunglas/httpsfv"

	"countersign.dev/countersign"
)

// Answer is what a client received to one question, in its own words.
type Answer struct {
	What     string                  `json:"what,omitempty"` // the client's own name for the question
	Exchange string                  `json:"exchange,omitempty"`
	Client   countersign.SubsystemID `json:"client"`
	Service  countersign.ServiceID   `json:"service"`
	Method   string                  `json:"method"`
	Status   int                     `json:"status"`          // HTTP; 0 where no answer came
	Error    string                  `json:"error,omitempty"` // X-Road-Error
	Code     countersign.Code        `json:"code,omitempty"`  // Countersign-Error
	Receipt  string                  `json:"receipt,omitempty"`
	Pending  bool                    `json:"pending,omitempty"` // Countersign-Status: what became of the question was not known yet
	Body     countersign.Digest      `json:"body"`              // SHA-256 of the body as it came
}

// Line is one line of an answers file: an answer, or a checkpoint that the client saw at that time.
type Line struct {
	Answer     *Answer `json:"answer,omitempty"`
	Checkpoint string  `json:"checkpoint,omitempty"`
}

// maxLine bounds a line: a receipt header is bounded by the gateway.
const maxLine = 256 << 10

// ReadLines reads an answers file: one JSON object a line.
func ReadLines(r io.Reader) (answers []*Answer, checkpoints []string, err error) {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), maxLine)
	for n := 1; s.Scan(); n++ {
		var l Line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			return nil, nil, fmt.Errorf("line %d of the answers is not one: %w", n, err)
		}
		if l.Answer != nil {
			answers = append(answers, l.Answer)
		}
		if l.Checkpoint != "" {
			checkpoints = append(checkpoints, l.Checkpoint)
		}
	}
	return answers, checkpoints, s.Err()
}

// promise reads the header Countersign-Receipt.
//
// SPEC: RFC 9651 list of two byte sequences: the promise and its signature.
func (a *Answer) promise() (promise, signature []byte, err error) {
	l, err := httpsfv.UnmarshalList([]string{a.Receipt})
	if err != nil || len(l) != 2 {
		return nil, nil, fmt.Errorf("its receipt is not a list of two byte sequences")
	}
	var out [2][]byte
	for i, m := range l {
		item, ok := m.(httpsfv.Item)
		if !ok {
			return nil, nil, fmt.Errorf("its receipt is not a list of two byte sequences")
		}
		if out[i], ok = item.Value.([]byte); !ok {
			return nil, nil, fmt.Errorf("its receipt is not a list of two byte sequences")
		}
	}
	return out[0], out[1], nil
}

// untaken reports an answer that is no exchange: the gateway could not read the question, or did not know whose it was. Such noise is only
// counted, for a record of it would say nothing about anybody. Every other answer owes a receipt.
func (a *Answer) untaken() bool {
	if a.Error == "" || a.Status < 400 {
		return false
	}
	switch a.Code {
	case countersign.CodeBadRequest, countersign.CodeTooLarge, countersign.CodeUnsupportedMedia, countersign.CodeUnauthenticated,
		countersign.CodeUnknownMember, countersign.CodeUnknownService, countersign.CodeBusy, countersign.CodeStaleDirectory,
		countersign.CodeStore, countersign.CodeMaintenance:
		return true
	}
	return false
}
