package law

import (
	"net/http"
	"slices"
	"strings"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/mandate"
)

// Portal is the subsystem through which people ask for their own data.
func Portal() countersign.SubsystemID {
	return countersign.SubsystemID{MemberID: Member("POR"), Subsystem: "portal"}
}

// ownAccess lets people see through the portal what a register holds about them, if it finds them by their code in the path alone: the question then names
// nobody else. What tells about relatives is left out, since it is theirs too; so is what a court decides about, which no cell opens.
//
// LAW: GDPR Art. 15(1), 15(4): the person's own data, without the rights of others.
func ownAccess(s *countersign.Service) {
	byCode := s.Subject.From == countersign.SubjectInRequest && s.Subject.In == "path" &&
		slices.Contains(s.Endpoints, countersign.Endpoint{Method: http.MethodGet, Path: "/{" + s.Subject.Name + "}"})
	if !byCode || s.ID.Code == POL || strings.HasPrefix(s.Text["en"], "Demo only") {
		return
	}
	g := countersign.Grant{Purpose: mandate.PurposeOwnAccess, Clients: []string{Portal().String()}, Methods: []string{http.MethodGet}}
	for _, f := range s.Fields {
		if f.Related == "" && !slices.ContainsFunc(s.Fields, func(x countersign.Field) bool { return x.Related != "" }) {
			g.Fields = append(g.Fields, f.Path)
		}
	}
	if len(g.Fields) > 0 {
		g.Fields = countersign.SortFields(g.Fields)
		s.Grants = append(s.Grants, g)
	}
}
