package main

import (
	"github.com/rogpeppe/go-internal/testscript"

	"countersign.dev/countersign/demo/law"
)

// cmdSQLService: "sqlservice POP person FILE DATABASE" makes POP's gateway answer for a service by a declared query on a database, in place of
// whatever its configuration names.
func cmdSQLService(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: sqlservice AGENCY SERVICE DECLARATION DATABASE")
	}
	m := storyOf(ts).d.Members[args[0]]
	ts.Check(editConfig(m.Config, func(c *gatewayConfig) {
		id := law.Service(args[0], args[1]).String()
		s := c.Services[id]
		s.HTTP, s.SQL = nil, &sqlConfig{Declaration: ts.MkAbs(args[2]), Database: ts.MkAbs(args[3])}
		c.Services[id] = s
	}))
}
