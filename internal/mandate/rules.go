package mandate

import (
	"iter"
	"slices"

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

// rule is one Cedar policy that forbids. Services keep their rules by the purpose that a rule asks for before anything else, so that a
// decision evaluates only what can match.
type rule struct {
	id        cedar.PolicyID
	policy    *cedar.Policy
	principal types.EntityUID
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
	r := &rule{id: cedar.PolicyID(id), policy: policy, principal: principalOf(tree)}
	purpose := countersign.PurposeCode(firstPurpose(tree))
	for _, v := range b.p.services {
		if reaches(tree.Resource, v.id) {
			v.rules[purpose] = append(v.rules[purpose], r)
		}
	}
}

// principalOf is the entity that a policy's scope wants the consumer to be or to belong to; zero for any.
func principalOf(tree *ast.Policy) types.EntityUID {
	switch s := tree.Principal.(type) {
	case ast.ScopeTypeEq:
		return s.Entity
	case ast.ScopeTypeIn:
		return s.Entity
	case ast.ScopeTypeIsIn:
		return s.Entity
	}
	return types.EntityUID{}
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

// applicable are the rules that can match a question, in their order.
type applicable []*rule

// All yields the rules.
func (a applicable) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, r := range a {
			if !yield(r.id, r.policy) {
				return
			}
		}
	}
}

// concerns compares what the scope asks of the principal, which is cheap, before Cedar is asked, which compares it again.
func (r *rule) concerns(client, member string) bool {
	switch r.principal.Type {
	case typeMember:
		return string(r.principal.ID) == member
	case typeSubsystem:
		return string(r.principal.ID) == client
	}
	return true
}

// forbid evaluates the rules of a service against a question that the matrix would answer, and adds a reason for each that forbids.
//
// A rule whose evaluation fails forbids too: what cannot be judged is refused.
func (p *Policy) forbid(q *Question, v *service, d *Decision) {
	client, member := p.textOf(q.Consumer)
	concerns := func(r *rule) bool { return r.concerns(client, member) }
	always, ofPurpose := v.rules[""], v.rules[q.Purpose]
	if !slices.ContainsFunc(always, concerns) && !slices.ContainsFunc(ofPurpose, concerns) {
		return
	}
	as := circumstancesOf(q, d)
	ruled, ok := p.rulings.get(as)
	if !ok {
		rules := slices.DeleteFunc(slices.Concat(always, ofPurpose), func(r *rule) bool { return !concerns(r) })
		_, diag := cedar.Authorize(applicable(rules), p.entities, as.request(d.Categories))
		ruled = rulingOf(diag)
		p.rulings.put(as, ruled)
	}
	for _, id := range ruled.failed {
		d.Rules = append(d.Rules, id)
		d.refuse(countersign.CodeForbiddenRule, "rule "+id, "the rule "+id+" cannot be evaluated for this question, which therefore is refused")
	}
	for _, id := range ruled.forbids {
		d.Rules = append(d.Rules, id)
		d.refuse(countersign.CodeForbiddenRule, "rule "+id, "the rule "+id+" of the federation forbids this")
	}
}

// entities are all parties and services with what they belong to, for rules to look up.
func (b *builder) entities() {
	m := b.p.entities
	uid := func(typ types.EntityType, id string) types.EntityUID {
		return types.NewEntityUID(typ, types.String(id))
	}
	add := func(u types.EntityUID, parents ...types.EntityUID) {
		m[u] = types.Entity{UID: u, Parents: types.NewEntityUIDSet(parents...)}
	}
	for id := range b.p.members {
		add(uid(typeMember, id.String()))
		add(uid(typeSubsystem, id.String()), uid(typeMember, id.String())) // a client of three parts is the member itself
	}
	for id := range b.p.subsystems {
		add(uid(typeSubsystem, id.String()), uid(typeMember, id.MemberID.String()))
	}
	for id := range b.p.services {
		add(uid(typeService, id.String()), uid(typeSubsystem, id.SubsystemID.String()))
	}
}
