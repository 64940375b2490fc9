package mandate

import (
	"iter"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	"countersign.dev/countersign"
)

// RuleSchema is the entity model that every rule is checked against. A question is:
//
//	principal  Subsystem::"INSTANCE/CLASS/MEMBER/SUBSYSTEM" of the consumer, in its Member::"INSTANCE/CLASS/MEMBER"
//	action     Action::"ask"
//	resource   Service::"INSTANCE/CLASS/MEMBER/SUBSYSTEM/SERVICE", in the provider's Subsystem and Member
//	context    what the question says and what would leave if no rule forbade it
//
// Class is the strictest of the categories that would leave; hour and weekday are of UTC, Monday is 1; assurance is 1 automated,
// 2 asserted, 3 verified; mandate is a MandateKind's word. Rules see no person, no official and no case number.
const RuleSchema = `
entity Member;
entity Subsystem in [Member];
entity Service in [Subsystem, Member];
action ask appliesTo {
	principal: [Subsystem],
	resource: [Service],
	context: {
		purpose: String,
		basis: String,
		class: String,
		categories: Set<String>,
		special: Bool,
		personal: Bool,
		mandate: String,
		method: String,
		assurance: Long,
		role: String,
		standing: Bool,
		caseGiven: Bool,
		represented: Bool,
		hour: Long,
		weekday: Long,
	},
};
`

// rule is one Cedar policy that forbids, with what its scope asks of the parties, so that a decision evaluates only rules that can match.
type rule struct {
	id        string
	policy    *cedar.Policy
	principal types.EntityUID // zero for any
	purpose   string          // the first thing that it asks of the context, if that is an equality of the purpose
}

const (
	typeMember    types.EntityType = "Member"
	typeSubsystem types.EntityType = "Subsystem"
	typeService   types.EntityType = "Service"
	typeAction    types.EntityType = "Action"
)

var askAction = types.NewEntityUID(typeAction, "ask") // an immutable name

func (b *builder) rules() {
	if len(b.d.Rules) == 0 {
		return
	}
	var s schema.Schema
	if err := s.UnmarshalCedar([]byte(RuleSchema)); err != nil {
		b.lost("the schema of rules cannot be read: %s", err)
		return
	}
	resolved, err := s.Resolve()
	if err != nil {
		b.lost("the schema of rules does not resolve: %s", err)
		return
	}
	check := validate.New(resolved, validate.WithStrict())
	seen := map[string]bool{}
	for i := range b.d.Rules {
		r := &b.d.Rules[i]
		if r.ID == "" || seen[r.ID] {
			b.lost("rule %q: its id is empty or used twice", r.ID)
			continue
		}
		seen[r.ID] = true
		list, err := cedar.NewPolicyListFromBytes(r.ID, []byte(r.Policy))
		switch {
		case err != nil:
			b.lost("rule %q is not a Cedar policy: %s", r.ID, err)
			continue
		case len(list) != 1:
			b.lost("rule %q holds %d policies: give exactly one", r.ID, len(list))
			continue
		case list[0].Effect() != cedar.Forbid:
			b.lost("rule %q permits: rules may only forbid, the matrix alone permits", r.ID)
			continue
		}
		tree := (*ast.Policy)(list[0].AST())
		if err := check.Policy(r.ID, tree); err != nil {
			b.lost("rule %q does not fit the schema of rules: %s", r.ID, err)
			continue
		}
		b.attach(r.ID, list[0], tree)
	}
}

// attach hands the rule to every service that its resource scope reaches.
func (b *builder) attach(id string, policy *cedar.Policy, tree *ast.Policy) {
	r := &rule{id: id, policy: policy, purpose: firstPurpose(tree)}
	switch s := tree.Principal.(type) {
	case ast.ScopeTypeEq:
		r.principal = s.Entity
	case ast.ScopeTypeIn:
		r.principal = s.Entity
	case ast.ScopeTypeIsIn:
		r.principal = s.Entity
	}
	for _, v := range b.p.services {
		if reaches(tree.Resource, v.id) {
			v.rules = append(v.rules, r)
		}
	}
}

func reaches(scope ast.IsResourceScopeNode, id countersign.ServiceID) bool {
	switch s := scope.(type) {
	case ast.ScopeTypeEq:
		return s.Entity == types.NewEntityUID(typeService, types.String(id.String()))
	case ast.ScopeTypeIn:
		return within(s.Entity, typeService, id.String(), id.SubsystemID)
	case ast.ScopeTypeIsIn:
		return within(s.Entity, typeService, id.String(), id.SubsystemID)
	}
	return true // all resources, or a kind of scope that a later Cedar brings: evaluate it
}

func within(entity types.EntityUID, typ types.EntityType, text string, parent countersign.SubsystemID) bool {
	switch entity.Type {
	case typ:
		return string(entity.ID) == text
	case typeSubsystem:
		return string(entity.ID) == parent.String()
	case typeMember:
		return string(entity.ID) == parent.MemberID.String()
	}
	return true
}

// firstPurpose finds `context.purpose == "x"` where it is the first thing that a policy evaluates after its scope. Only then is skipping
// the policy for other purposes the same as evaluating it, errors included.
func firstPurpose(tree *ast.Policy) string {
	if len(tree.Conditions) == 0 || tree.Conditions[0].Condition != ast.ConditionWhen {
		return ""
	}
	node := tree.Conditions[0].Body
	for {
		and, ok := node.(ast.NodeTypeAnd)
		if !ok {
			break
		}
		node = and.Left
	}
	eq, ok := node.(ast.NodeTypeEquals)
	if !ok {
		return ""
	}
	access, value := eq.Left, eq.Right
	if _, swapped := access.(ast.NodeValue); swapped {
		access, value = value, access
	}
	a, ok := access.(ast.NodeTypeAccess)
	if !ok || a.Value != "purpose" {
		return ""
	}
	if v, ok := a.Arg.(ast.NodeTypeVariable); !ok || v.Name != "context" {
		return ""
	}
	if v, ok := value.(ast.NodeValue); ok {
		if s, ok := v.Value.(types.String); ok {
			return string(s)
		}
	}
	return ""
}

// forbid evaluates the rules of a service against a question that the matrix would answer, and adds a reason for each that forbids.
//
// A rule whose evaluation fails forbids too: what cannot be judged is refused.
func (v *service) forbid(q *Question, d *Decision) {
	var request cedar.Request
	var entities types.EntityMap
	for _, r := range v.rules {
		if r.purpose != "" && r.purpose != string(q.Purpose) {
			continue
		}
		if r.principal.Type != "" && !within(r.principal, typeSubsystem, q.Consumer.String(), q.Consumer) {
			continue
		}
		if entities == nil {
			request, entities = v.request(q, d), v.entities(q)
		}
		_, diag := cedar.Authorize(one{r}, entities, request)
		switch {
		case len(diag.Errors) > 0:
			d.Rules = append(d.Rules, r.id)
			d.refuse(countersign.CodeForbiddenRule, "rule "+r.id, "the rule "+r.id+" cannot be evaluated for this question, which therefore is refused")
		case len(diag.Reasons) > 0:
			d.Rules = append(d.Rules, r.id)
			d.refuse(countersign.CodeForbiddenRule, "rule "+r.id, "the rule "+r.id+" of the federation forbids this")
		}
	}
}

// one is a set of a single rule.
type one struct{ r *rule }

// All yields the rule.
func (o one) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) { yield(cedar.PolicyID(o.r.id), o.r.policy) }
}

func (v *service) request(q *Question, d *Decision) cedar.Request {
	categories := make([]types.Value, len(d.Categories))
	for i, c := range d.Categories {
		categories[i] = types.String(c)
	}
	at := q.At.UTC()
	weekday := (int64(at.Weekday())+6)%7 + 1 // time.Sunday is 0
	return cedar.Request{
		Principal: types.NewEntityUID(typeSubsystem, types.String(q.Consumer.String())),
		Action:    askAction,
		Resource:  types.NewEntityUID(typeService, types.String(q.Service.String())),
		Context: types.NewRecord(types.RecordMap{
			"purpose": types.String(q.Purpose), "basis": types.String(q.Basis), "class": types.String(d.Class),
			"categories": types.NewSet(categories...), "special": types.Boolean(d.Special), "personal": types.Boolean(d.Personal),
			"mandate": types.String(d.Mandate.Kind.String()), "method": types.String(q.Method),
			"assurance": types.Long(q.Official.Assurance), "role": types.String(strings.TrimSpace(q.Official.Role)),
			"standing": types.Boolean(q.Standing), "caseGiven": types.Boolean(q.Case != ""), "represented": types.Boolean(len(q.OnBehalfOf) > 0),
			"hour": types.Long(at.Hour()), "weekday": types.Long(weekday),
		}),
	}
}

func (v *service) entities(q *Question) types.EntityMap {
	consumer, provider := q.Consumer, v.id.SubsystemID
	m := types.EntityMap{}
	member := func(id countersign.MemberID) types.EntityUID {
		uid := types.NewEntityUID(typeMember, types.String(id.String()))
		m[uid] = types.Entity{UID: uid}
		return uid
	}
	subsystem := func(id countersign.SubsystemID) types.EntityUID {
		uid := types.NewEntityUID(typeSubsystem, types.String(id.String()))
		m[uid] = types.Entity{UID: uid, Parents: types.NewEntityUIDSet(member(id.MemberID))}
		return uid
	}
	subsystem(consumer)
	uid := types.NewEntityUID(typeService, types.String(v.id.String()))
	m[uid] = types.Entity{UID: uid, Parents: types.NewEntityUIDSet(subsystem(provider))}
	return m
}
