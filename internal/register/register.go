// Package register is where data live: the adapters that ask a member's own register (HTTP in upstream, SQL in sqlregister), the
// selector that finds the one person a question is about, and the filter that lets out only the fields of the purpose.
package register

import (
	"context"
	"io"
	"net/http"

	"countersign.dev/countersign"
)

// MaxAnswer bounds an answer about a person, and a request body that names one: both are held in memory until the record is durable.
const MaxAnswer = 4 << 20

// Register answers one question about one person from the register that lies behind a service.
//
// The contract of Ask, which registertest checks for every adapter:
//   - One call is at most one question to the register. It is never sent again once its first byte may have left; an adapter may
//     repeat only what provably did not leave.
//   - Ask is bounded by ctx and by the adapter's own time-outs, also while the answer's body is read.
//   - A register that says no, in whatever status, has answered: that is an Answer, not an error.
//   - Errors are refusals: CodeBadRequest for a question that cannot be sent as it is, CodeNetwork when the register does not answer
//     in time or cannot be reached, CodeRegister when what it says cannot be understood or breaks the service's declaration,
//     CodeUnfilterable when a bound is passed: the register's fault, and nothing that the asker could mend. Neither message nor cause holds a path, a query, a header, a body or an identifier.
//   - On success the caller owns Answer.Body and must close it. With an error there is nothing to close.
//   - Ask is safe for concurrent use.
type Register interface {
	Ask(ctx context.Context, q *Request) (*Answer, error)
}

// Request is one question. It belongs to the adapter during Ask and may be changed by it.
type Request struct {
	Method string
	// Path is what came after the service code, byte for byte as it was sent: empty, or beginning with '/'.
	Path string
	// Query is raw, without '?'.
	Query string
	// Header has been cleaned: nothing of the hop, nothing that the service's class keeps back. Not nil.
	Header http.Header
	// Body is nil for none. Length is its length in bytes, -1 when it is not known (class O only).
	Body   io.Reader
	Length int64
	// Subject is the person that the request was decided for; zero for class O and for services that find the person in the answer.
	Subject countersign.SubjectID
	// Stream is true for class O alone: the answer passes through unfiltered, so it may be compressed and of any size. The zero value asks
	// for an answer that can be filtered, and bounds it.
	Stream bool
}

// Answer is what a register said.
type Answer struct {
	Status int
	Header http.Header
	Body   io.ReadCloser // never nil
	Length int64         // -1 when it is not known
}

// ReadBounded reads the whole body of an answer about a person and closes it: CodeUnfilterable above limit bytes, CodeNetwork or CodeRegister
// when it breaks off. limit 0 means MaxAnswer.
func ReadBounded(a *Answer, limit int64) (body []byte, err error) {
	defer func() {
		if cerr := a.Body.Close(); cerr != nil && err == nil {
			body, err = nil, countersign.Refuse(countersign.CodeRegister, "the register's answer broke off")
		}
	}()
	if limit <= 0 {
		limit = MaxAnswer
	}
	tooLarge := func() ([]byte, error) {
		return nil, countersign.Refuse(countersign.CodeUnfilterable, "the register's answer has more than %d bytes, the bound of an answer about a person", limit)
	}
	if a.Length > limit {
		return tooLarge()
	}
	if a.Length >= 0 {
		body = make([]byte, a.Length, a.Length+1)
		if _, err := io.ReadFull(a.Body, body); err != nil {
			return nil, brokenOff(err)
		}
		// One byte more tells a declared length that lies from the end.
		if n, err := a.Body.Read(body[a.Length : a.Length+1]); n != 0 {
			return nil, countersign.Refuse(countersign.CodeRegister, "the register's answer is longer than it declares")
		} else if err != nil && err != io.EOF {
			return nil, brokenOff(err)
		}
		return body, nil
	}
	body, err = io.ReadAll(io.LimitReader(a.Body, limit+1))
	if err != nil {
		return nil, brokenOff(err)
	}
	if int64(len(body)) > limit {
		return tooLarge()
	}
	return body, nil
}

// brokenOff keeps a refusal that an adapter's body returns, and makes one of anything else.
func brokenOff(err error) error {
	if countersign.CodeOf(err) != countersign.CodeInternal {
		return err
	}
	return countersign.Refuse(countersign.CodeRegister, "the register's answer broke off")
}
