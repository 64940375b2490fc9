package audit

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
)

// Auditor judges what a client received.
type Auditor struct {
	Policy  *countersign.Policy
	Logs    []*Log
	Several map[countersign.ServiceID]bool // services whose answers may name several people: Source.Several
	Clock   clock.Clock
	// Patience is how long records that are promised or owed may be missing: witnesses cosign within countersign.CosigningDeadline, and an
	// intent that a crash left open is closed when the gateway is back.
	Patience time.Duration
}

// Evidence is what a client has in hand.
type Evidence struct {
	Answers     []*Answer
	Checkpoints []string                        // that it saw on the way, oldest first
	Receipts    map[string]*countersign.Receipt // full receipts by exchange
}

// Audit reads the logs again and again until nothing is missing or patience ends, and judges by what they show then. The error says that the
// audit could not be held; what it found is the verdict's to say.
func (a *Auditor) Audit(ctx context.Context, e *Evidence) (*Verdict, error) {
	deadline := a.Clock.Now().Add(a.Patience)
	for {
		v, err := a.once(ctx, e)
		if err == nil && v.Err() == nil || ctx.Err() != nil || !a.Clock.Now().Before(deadline) {
			return v, err
		}
		if err == nil && v.AnswersWithoutRecord == 0 && v.RecordsLost == 0 {
			return v, nil // what is wrong does not mend with time
		}
		timer := time.NewTimer(250 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
}

// judging is one pass over the evidence.
type judging struct {
	*Auditor
	*Verdict
	evidence *Evidence
	lost     map[countersign.Commitment]bool // counted already
	begin    map[*Log]uint64                 // size of each log when the client began
}

func (a *Auditor) once(ctx context.Context, e *Evidence) (*Verdict, error) {
	j := &judging{
		Auditor: a, evidence: e, lost: map[countersign.Commitment]bool{}, begin: map[*Log]uint64{},
		Verdict: &Verdict{Reasons: map[string]int{}, Sizes: map[countersign.LogOrigin]uint64{}},
	}
	for _, l := range a.Logs {
		switch err := l.Read(ctx); {
		case errors.Is(err, errHistory):
			j.contradiction(err)
		case err != nil:
			return j.Verdict, err
		}
		j.Sizes[l.Origin] = l.size
	}
	for _, text := range e.Checkpoints {
		j.seen(text)
	}
	for _, answer := range e.Answers {
		j.answer(answer)
	}
	j.closed()
	j.answered()
	return j.Verdict, nil
}

func (j *judging) contradiction(err error) {
	j.Contradictions++
	j.problem("%s", err)
}

// seen holds a checkpoint that somebody was shown against the tree as it is now, and takes the first of each log as the audit's beginning.
func (j *judging) seen(text string) {
	for _, l := range j.Logs {
		cp, err := l.open([]byte(text))
		if err != nil {
			continue // another log's
		}
		if err := l.checkRoot(cp); err != nil {
			j.contradiction(err)
		}
		if _, ok := j.begin[l]; !ok {
			j.begin[l] = cp.Size
		}
		return
	}
	j.contradiction(fmt.Errorf("%w: a checkpoint that the client saw is of no log of the policy", errHistory))
}

// answer judges one answer.
func (j *judging) answer(a *Answer) {
	switch {
	case a.Status == 0:
		j.Unanswered++
		return
	case a.Receipt == "" && a.untaken():
		j.Untaken++
		return
	case a.Receipt == "" && a.Pending && a.Error != "":
		a = j.later(a)
	}
	l, promise, raw, err := j.promised(a)
	if err != nil {
		j.AnswersWithoutRecord++
		j.problem("%s: %s", a.name(), err)
		return
	}
	j.Exchanges++
	if a.Error != "" {
		j.Refused++
		j.Reasons[a.Code.String()]++
	}
	if err := j.receipt(a, l, raw); err != nil {
		j.ReceiptsBroken++
		j.problem("%s: its receipt: %s", a.name(), err)
	} else {
		j.ReceiptsVerified++
	}
	leaf := l.exchange(promise.Index)
	if leaf == nil || countersign.LeafHash(l.raw[promise.Index]) != promise.Leaf {
		j.RecordsLost++
		j.problem("%s: %s promised its record at index %d, and it is not there", a.name(), l.Origin, promise.Index)
		if r := j.evidence.Receipts[a.Exchange]; r != nil {
			if lost, err := countersign.ParseLeaf(r.Leaf); err == nil {
				j.lost[lost.Commitment] = true
			}
		}
		if _, elsewhere := l.at[promise.Leaf]; !elsewhere {
			j.AnswersWithoutRecord++
		}
		return
	}
	if err := j.fits(a, leaf); err != nil {
		j.AnswersWithoutRecord++
		j.problem("%s: %s", a.name(), err)
	}
}

// later gives an answer without data, whose end was not known yet, the receipt that its client has fetched since.
func (j *judging) later(a *Answer) *Answer {
	r := j.evidence.Receipts[a.Exchange]
	if r == nil {
		return a
	}
	told := *a
	told.Receipt = ":" + base64.StdEncoding.EncodeToString(r.Promise) + ":, :" + base64.StdEncoding.EncodeToString(r.Signature) + ":"
	return &told
}

func (a *Answer) name() string {
	if a.What == "" {
		return "exchange " + a.Exchange
	}
	return "exchange " + a.Exchange + " (" + a.What + ")"
}

// promised verifies the promise in an answer and finds the log that made it, which must be a party's.
func (j *judging) promised(a *Answer) (*Log, *countersign.Promise, []byte, error) {
	if a.Receipt == "" {
		return nil, nil, nil, errors.New("it came without a receipt")
	}
	raw, signature, err := a.promise()
	if err != nil {
		return nil, nil, nil, err
	}
	promise, err := countersign.ParsePromise(raw)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, l := range j.Logs {
		if l.Origin != promise.Origin {
			continue
		}
		if l.Owner != a.Service.MemberID && (l.Owner != a.Client.MemberID || a.Error == "") {
			return nil, nil, nil, fmt.Errorf("its receipt is of %s, which owes it none", l.Origin)
		}
		if err := countersign.VerifyTree(l.key.Public, countersign.DomainReceipt, raw, signature, nil); err != nil {
			return nil, nil, nil, fmt.Errorf("its promise is not signed by %s: %w", l.Origin, err)
		}
		return l, promise, raw, nil
	}
	return nil, nil, nil, fmt.Errorf("its receipt is of the log %q, which nobody knows", promise.Origin)
}

// fits checks that the leaf tells what the client received, and that the other party's log tells the same.
func (j *judging) fits(a *Answer, leaf *countersign.Leaf) error {
	if leaf.Service != a.Service.String() || leaf.Consumer != a.Client.String() {
		return errors.New("its record is of another service or client")
	}
	released := leaf.Outcome == countersign.OutcomeReleased
	if released != (a.Error == "") {
		return fmt.Errorf("its record says %s", leaf.Outcome)
	}
	if leaf.Side == countersign.SideConsumer {
		if leaf.Outcome != countersign.OutcomeRefused && leaf.Outcome != countersign.OutcomeNotAccepted {
			return fmt.Errorf("its consumer's record says %s", leaf.Outcome)
		}
		return nil
	}
	owed := leaf.Outcome
	if released {
		owed = countersign.OutcomeReceived
	}
	if !j.has(a.Client.MemberID, countersign.SideConsumer, leaf, owed) {
		return fmt.Errorf("the log of %s has no record of it as %s", a.Client.MemberID, owed)
	}
	return nil
}

// has looks in a member's logs for the counterpart of a leaf, by commitment; a zero outcome is any.
func (j *judging) has(member countersign.MemberID, side countersign.Side, leaf *countersign.Leaf, outcome countersign.Outcome) bool {
	for _, l := range j.Logs {
		if l.Owner != member {
			continue
		}
		for _, i := range l.by[leaf.Commitment] {
			if o := l.leaves[i]; o.Side == side && (outcome == 0 || o.Kind == leaf.Kind && o.Outcome == outcome) {
				return true
			}
		}
	}
	return false
}

// receipt verifies the full receipt of an answer offline, and that it is the same promise about the same exchange and the same body.
func (j *judging) receipt(a *Answer, l *Log, promise []byte) error {
	r := j.evidence.Receipts[a.Exchange]
	if r == nil {
		return errors.New("there is none")
	}
	f, err := j.Policy.Verify(r)
	if err != nil {
		return err
	}
	switch {
	case string(r.Promise) != string(promise):
		return errors.New("it holds another promise than the answer")
	case !f.Cosigned:
		return errors.New("it is a promise only: no quorum of witnesses has cosigned it")
	case f.Statement == nil:
		return errors.New("it does not say what was recorded")
	case f.Statement.Exchange.String() != a.Exchange || f.Statement.Service != a.Service || f.Statement.Consumer != a.Client:
		return errors.New("its statement is about another exchange")
	}
	whole := f.Leaf.Kind == countersign.LeafExchange && f.Leaf.Outcome == countersign.OutcomeReleased
	if whole && countersign.Salt(r.Salt).Blind("answer", a.Body[:]) != f.Statement.Answer {
		return errors.New("the body that the client received is not the one that was recorded")
	}
	return j.grown(l, r.Proof)
}

// grown checks that the tree of a receipt's proof is one that the log has since grown out of.
func (j *judging) grown(l *Log, text string) error {
	var tp proof.TLogProof
	if err := tp.Unmarshal([]byte(text)); err != nil {
		return err
	}
	var cp *log.Checkpoint
	cp, err := l.open(tp.Checkpoint)
	if err != nil {
		return err
	}
	if cp.Size > l.size {
		return nil // newer than what was read: the next pass reads it
	}
	return l.checkRoot(cp)
}

// closed checks that every record of a provider is closed in its consumer's log by the same statement, also where a crash or a lost network kept the
// answer away: the consumer then has it from the provider how the exchange ended.
//
// LAW: guarantee 5: the consumer closes each of its intents with received, refused or not accepted.
func (j *judging) closed() {
	j.each(countersign.SideProvider, func(l *Log, leaf *countersign.Leaf, consumer, _ countersign.MemberID) {
		if j.has(consumer, countersign.SideConsumer, leaf, 0) || j.several(leaf) {
			return
		}
		j.RecordsLost++
		j.problem("%s: it has a record of %s for %s that is not closed in its consumer's log", l.Origin, leaf.Service, leaf.Purpose)
	})
}

// answered checks that every answer that a consumer accepted stands in its provider's log.
func (j *judging) answered() {
	j.each(countersign.SideConsumer, func(l *Log, leaf *countersign.Leaf, _, provider countersign.MemberID) {
		if leaf.Outcome != countersign.OutcomeReceived || j.lost[leaf.Commitment] || j.has(provider, countersign.SideProvider, leaf, countersign.OutcomeReleased) {
			return
		}
		j.RecordsLost++
		j.problem("%s: it has received an answer of %s of which its provider's log has no record", l.Origin, leaf.Service)
	})
}

// several reports a service whose answers may name several people: each has a record of their own, and only one of them is paired.
func (j *judging) several(leaf *countersign.Leaf) bool {
	id, err := countersign.ParseServiceID(leaf.Service)
	return err == nil && j.Several[id]
}

// each visits the sides of exchanges that were recorded since the client began.
func (j *judging) each(side countersign.Side, visit func(l *Log, leaf *countersign.Leaf, consumer, provider countersign.MemberID)) {
	for _, l := range j.Logs {
		for i := j.begin[l]; i < l.size; i++ {
			leaf := l.exchange(i)
			if leaf == nil || leaf.Side != side {
				continue
			}
			service, err := countersign.ParseServiceID(leaf.Service)
			if err != nil {
				continue // a leaf that names no service is of no exchange that could be paired
			}
			client, err := countersign.ParseSubsystemID(leaf.Consumer)
			if err != nil {
				continue
			}
			visit(l, leaf, client.MemberID, service.MemberID)
		}
	}
}
