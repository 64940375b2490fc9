package exchange

import (
	"context"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// PathSignals is where a gateway tells overseers, known by their keys, about whom its register is asked more than work explains.
const PathSignals = "/countersign/signals"

// What makes a person a repeat target at one register: so many officials, or so many questions, within the window. Programmes, machines and the person's own
// looks do not count.
const (
	SignalWindow    = 7 * 24 * time.Hour
	SignalOfficials = 5
	SignalQuestions = 20
	signalEntries   = 100_000 // looked through at most, the newest first
)

// RepeatTarget says that one person is asked about again and again, and not who that is.
//
// LAW: A04 and SAFEGUARDS 38: people in the public eye, journalists and defenders are looked up by those who have no business to; the overseer is told.
type RepeatTarget struct {
	// Person stands for the person at this gateway, in signals alone: nobody else has the key that makes it, and it opens nothing.
	Person    string                    `json:"person"`
	Questions int                       `json:"questions"`
	Refused   int                       `json:"refused"`
	Officials int                       `json:"officials"`
	Consumers []string                  `json:"consumers"`
	Purposes  []countersign.PurposeCode `json:"purposes"`
	First     countersign.Millis        `json:"first"`
	Last      countersign.Millis        `json:"last"`
}

// Signals is the answer at PathSignals.
type Signals struct {
	Member  countersign.MemberID    `json:"member"`
	Gateway countersign.GatewayName `json:"gateway"`
	Since   countersign.Millis      `json:"since"` // what was looked through begins here
	Targets []RepeatTarget          `json:"targets"`
}

func (w *Watch) signals(r *http.Request) (*Signals, error) {
	member, _, err := w.overseer(r)
	if err != nil {
		return nil, err
	}
	out, err := w.gateway.repeatTargets(r.Context())
	if err != nil {
		return nil, err
	}
	return out, w.gateway.recordReading(r.Context(), member, "about whom this register is asked again and again", len(out.Targets))
}

// target gathers what is told of one person.
type target struct {
	RepeatTarget
	officials map[string]bool
}

// repeatTargets looks through the provider's records of the window. Nothing of it is kept.
func (g *Gateway) repeatTargets(ctx context.Context) (*Signals, error) {
	now := g.now()
	out := &Signals{Member: g.Member, Gateway: g.Name, Since: countersign.MillisOf(now.Add(-SignalWindow)), Targets: []RepeatTarget{}}
	by := map[countersign.SubjectTag]*target{}
	page := ledger.Page{Limit: ledger.MaxPage}
	for seen := 0; ; {
		found, err := g.Log.List(ctx, page)
		if err != nil {
			return nil, err
		}
		for _, s := range found {
			page.Before, seen = s.Index, seen+1
			if s.Time < out.Since {
				found = nil
				break
			}
			countQuestion(by, s)
		}
		if len(found) < ledger.MaxPage || page.Before == 0 {
			break
		}
		if seen >= signalEntries {
			out.Since = found[len(found)-1].Time
			break
		}
	}
	for tag, t := range by {
		if t.Officials = len(t.officials); t.Officials < SignalOfficials && t.Questions < SignalQuestions {
			continue
		}
		key := g.Log.BudgetKeyOf("person in a signal", hex.EncodeToString(tag[:]))
		t.Person = hex.EncodeToString(key[:8])
		slices.Sort(t.Consumers)
		slices.Sort(t.Purposes)
		out.Targets = append(out.Targets, t.RepeatTarget)
	}
	slices.SortFunc(out.Targets, func(a, b RepeatTarget) int {
		if a.Officials != b.Officials {
			return b.Officials - a.Officials
		}
		return strings.Compare(a.Person, b.Person)
	})
	return out, nil
}

// countQuestion counts an official's question that this gateway decided on. Sealed slots do not count: nothing follows from them before their date.
func countQuestion(by map[countersign.SubjectTag]*target, s *ledger.Stored) {
	if s.Leaf.Kind != countersign.LeafExchange || s.Leaf.Side != countersign.SideProvider || s.Record == nil || s.Tag == (countersign.SubjectTag{}) {
		return
	}
	st, err := countersign.ParseStatement(s.Record.Statement)
	if err != nil || st.Official.Pseudonym == "" {
		return
	}
	t := by[s.Tag]
	if t == nil {
		t = &target{RepeatTarget: RepeatTarget{Last: s.Time}, officials: map[string]bool{}}
		by[s.Tag] = t
	}
	t.Questions++
	if st.Outcome == countersign.OutcomeRefused {
		t.Refused++
	}
	t.First = s.Time
	t.officials[st.Consumer.MemberID.String()+"\x00"+st.Official.Pseudonym] = true
	if c := st.Consumer.String(); !slices.Contains(t.Consumers, c) {
		t.Consumers = append(t.Consumers, c)
	}
	if !slices.Contains(t.Purposes, st.Purpose) {
		t.Purposes = append(t.Purposes, st.Purpose)
	}
}
