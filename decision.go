package countersign

// Effect is what a decision means for the person.
type Effect string

// The effects.
const (
	EffectAdverse    Effect = "adverse"
	EffectFavourable Effect = "favourable"
)

// Decision is what a member's log keeps of a decision, once for each exchange that it rests on. The leaf commits to it, and the person is shown it.
//
// LAW: A19 and SAFEGUARDS 29: a decision cites the record and names a human. One that names none is on record as that, and an automated question that no decision
// cites is shown as that: both can be seen, neither can be kept from the person.
type Decision struct {
	Member   MemberID   `json:"member"`
	Exchange ExchangeID `json:"exchange"`
	Also     int        `json:"also"` // further exchanges that the decision rests on
	Effect   Effect     `json:"effect"`
	Official string     `json:"official,omitempty"`
	Role     string     `json:"role,omitempty"`
	Text     string     `json:"text"`
	At       Millis     `json:"at"`
}

// DecisionTag is the tag under which a log keeps the decisions that rest on an exchange: with the key of the log, it is found from the exchange alone.
func DecisionTag(id ExchangeID) SubjectID {
	return SubjectID{Scheme: "decision", Value: id.String()}
}
