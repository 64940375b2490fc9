package mandate

import (
	"strconv"
	"strings"
	"sync"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"countersign.dev/countersign"
)

// circumstances are everything that a rule can look at in a question. No person is among them: rules cannot single anybody out, and what they
// say of one question they say of every other with the same circumstances, under the same directory.
type circumstances struct {
	consumer    countersign.SubsystemID
	service     countersign.ServiceID
	purpose     countersign.PurposeCode
	basis       countersign.BasisCode
	class       countersign.Class
	categories  string // codes, each after its length
	special     bool
	personal    bool
	mandate     countersign.MandateKind
	method      string
	assurance   countersign.Assurance
	role        string
	standing    bool
	caseGiven   bool
	represented bool
	hour        int // UTC
	weekday     int // 1 is Monday
}

func circumstancesOf(q *Question, d *Decision) circumstances {
	at := q.At.UTC()
	as := circumstances{
		consumer: q.Consumer, service: q.Service, purpose: q.Purpose, basis: q.Basis, class: d.Class,
		special: d.Special, personal: d.Personal, mandate: d.Mandate.Kind, method: q.Method,
		assurance: q.Official.Assurance, role: strings.TrimSpace(q.Official.Role),
		standing: q.Standing, caseGiven: q.Case != "", represented: len(q.OnBehalfOf) > 0,
		hour: at.Hour(), weekday: (int(at.Weekday())+6)%7 + 1, // time.Sunday is 0
	}
	var b strings.Builder
	b.Grow(32 * len(d.Categories))
	for _, c := range d.Categories {
		b.WriteString(strconv.Itoa(len(c)))
		b.WriteByte(':')
		b.WriteString(string(c))
	}
	as.categories = b.String()
	return as
}

// request puts the circumstances to Cedar. The schema of rules names the same attributes.
func (as *circumstances) request(codes []countersign.CategoryCode) cedar.Request {
	categories := make([]types.Value, len(codes))
	for i, c := range codes {
		categories[i] = types.String(c)
	}
	return cedar.Request{
		Principal: types.NewEntityUID(typeSubsystem, types.String(as.consumer.String())),
		Action:    askAction,
		Resource:  types.NewEntityUID(typeService, types.String(as.service.String())),
		Context: types.NewRecord(types.RecordMap{
			"purpose": types.String(as.purpose), "basis": types.String(as.basis), "class": types.String(as.class),
			"categories": types.NewSet(categories...), "special": types.Boolean(as.special), "personal": types.Boolean(as.personal),
			"mandate": types.String(as.mandate.String()), "method": types.String(as.method),
			"assurance": types.Long(as.assurance), "role": types.String(as.role),
			"standing": types.Boolean(as.standing), "caseGiven": types.Boolean(as.caseGiven), "represented": types.Boolean(as.represented),
			"hour": types.Long(as.hour), "weekday": types.Long(as.weekday),
		}),
	}
}

// ruling is what the rules said: which forbid, and which could not be evaluated.
type ruling struct{ failed, forbids []string }

func rulingOf(diag cedar.Diagnostic) (r ruling) {
	for _, e := range diag.Errors {
		r.failed = append(r.failed, string(e.PolicyID))
	}
	for _, f := range diag.Reasons {
		r.forbids = append(r.forbids, string(f.PolicyID))
	}
	return r
}

// rulings remembers what the rules of one directory said, because evaluating them anew costs an exchange more than the rest of its decision.
// Roles are free text, so that it forgets everything when it is full: at most maxRulings small entries are held.
type rulings struct {
	mu sync.RWMutex
	by map[circumstances]ruling
}

const maxRulings = 4096

func (m *rulings) get(as circumstances) (ruling, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	r, ok := m.by[as]
	return r, ok
}

func (m *rulings) put(as circumstances, r ruling) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.by == nil || len(m.by) >= maxRulings {
		m.by = make(map[circumstances]ruling)
	}
	m.by[as] = r
}
