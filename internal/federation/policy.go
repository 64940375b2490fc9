package federation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"countersign.dev/countersign"
)

// reservedInPolicy are the words of the policy language, which name no witness.
//
// SPEC: C2SP tlog-policy: none is reserved; the others are refused by readers that take them for keywords.
var reservedInPolicy = map[string]bool{"witness": true, "group": true, "any": true, "all": true, "none": true, "quorum": true, "log": true}

// PolicyText writes the witness policy of the federation in C2SP tlog-policy form, for these logs or, with none given, without a log line.
// Witnesses of one organisation form a group of which any one counts, so that an organisation counts once however many witnesses it runs (A42).
// The file is what `verify --policy` and any C2SP tool read.
func (v *View) PolicyText(logs ...countersign.Log) string { return PolicyText(v.document, logs...) }

// PolicyText is [View.PolicyText] for a document that is not compiled.
func PolicyText(d *countersign.Directory, logs ...countersign.Log) string {
	var b strings.Builder
	for _, l := range logs {
		fmt.Fprintf(&b, "log %s %s\n", l.VKey, l.URL)
		for _, ended := range l.Before { // its receipts stay valid
			fmt.Fprintf(&b, "log %s %s\n", ended.VKey, ended.URL)
		}
	}
	taken := maps.Clone(reservedInPolicy)
	byOrganisation := map[string][]string{}
	var order []string
	for _, w := range d.Witnesses {
		fmt.Fprintf(&b, "witness %s %s %s\n", w.Name, w.VKey, w.URL)
		taken[string(w.Name)] = true
		if byOrganisation[w.Organisation] == nil {
			order = append(order, w.Organisation)
		}
		byOrganisation[w.Organisation] = append(byOrganisation[w.Organisation], string(w.Name))
	}
	groups := make([]string, len(order))
	for i, organisation := range order {
		groups[i] = freeName(taken, "organisation-"+slug(organisation))
		fmt.Fprintf(&b, "# %s\ngroup %s any %s\n", oneLine(organisation), groups[i], strings.Join(byOrganisation[organisation], " "))
	}
	if d.Quorum < 1 || d.Quorum > len(groups) {
		// Nothing satisfies this policy, because nobody could satisfy that quorum: a reader refuses a quorum that is not defined.
		b.WriteString("quorum unreachable\n")
		return b.String()
	}
	quorum := freeName(taken, "organisations")
	fmt.Fprintf(&b, "group %s %d %s\nquorum %s\n", quorum, d.Quorum, strings.Join(groups, " "), quorum)
	return b.String()
}

// freeName takes a name that nothing in the policy has yet.
func freeName(taken map[string]bool, name string) string {
	for n, candidate := 2, name; ; n++ {
		if !taken[candidate] {
			taken[candidate] = true
			return candidate
		}
		candidate = fmt.Sprintf("%s-%d", name, n)
	}
}

func slug(s string) string {
	out := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, s)
	return strings.Trim(out, "-")
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func sortedKeys[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
