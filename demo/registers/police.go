package registers

import (
	"database/sql"
	"net/http"
)

func (g *register) police() {
	file := g.prepare(`SELECT c.case_id, p.pin, c.kind, c.closed_on IS NULL
		FROM police_case c JOIN party p ON p.case_id = c.case_id WHERE c.case_id = ? AND p.pin = ?`)
	wanted := g.prepare("SELECT EXISTS (SELECT 1 FROM wanted w WHERE w.pin = p.pin) FROM person p WHERE p.pin = ?")
	g.route("GET /cases/{case}", func(r *http.Request) (any, error) { return getCase(r, file) })
	g.route("GET /wanted/{pin}", func(r *http.Request) (any, error) { return getWanted(r, wanted) })
}

// getWanted says yes or no and nothing else: neither the case nor the reason.
func getWanted(r *http.Request, stmt *sql.Stmt) (any, error) {
	pin, err := pathPIN(r)
	if err != nil {
		return nil, err
	}
	var wanted bool
	if err := one(stmt.QueryRowContext(r.Context(), pin), errUnknownPerson, &wanted); err != nil {
		return nil, err
	}
	return map[string]bool{"wanted": wanted}, nil
}
