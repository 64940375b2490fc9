package law

import (
	"fmt"
	"strings"

	"countersign.dev/countersign"
)

// Assessment writes the impact assessment of a personal service, the document whose SHA-256 the directory carries: what is exchanged, about
// whom, for which purposes, and what bounds it.
//
// LAW: Convention 108+ Art. 10(2): the likely impact of intended processing is examined before it begins.
func Assessment(s *countersign.Service) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# Impact assessment: %s\n\nService `%s` of the demo federation. All people in it are invented.\n\n", s.Text.In("en"), s.ID)
	fmt.Fprintf(&b, "Whose data: one person in each question, found in the %s.\n\nWhat may ever leave:\n", s.Subject.From)
	for _, f := range s.Fields {
		fmt.Fprintf(&b, "- `%s` (%s)\n", f.Path, f.Category)
	}
	b.WriteString("\nWho gets what, and why:\n")
	for _, g := range s.Grants {
		fmt.Fprintf(&b, "- for %s: %s gets %s\n", g.Purpose, strings.Join(g.Clients, ", "), joined(g.Fields))
		if len(g.Writes) > 0 {
			fmt.Fprintf(&b, "  and may send %s\n", joined(g.Writes))
		}
	}
	b.WriteString("\nRisks: curiosity, reuse for another purpose, tracking by repetition.\nBounds: the fields above and no others, a record of each question " +
		"that the person sees, budgets per official, member and person.\n")
	return []byte(b.String())
}

func joined(fields []countersign.FieldPath) string {
	words := make([]string, len(fields))
	for i, f := range fields {
		words[i] = string(f)
	}
	return strings.Join(words, ", ")
}
