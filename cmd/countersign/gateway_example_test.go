package main

import (
	"testing"

	"countersign.dev/countersign"
)

// TestExampleConfigurationLoads holds docs/operate/gateway.yaml to the configuration that there is.
func TestExampleConfigurationLoads(t *testing.T) {
	c, err := loadGatewayConfig("../../docs/operate/gateway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if c.Member != (countersign.MemberID{Instance: "DEMO", Class: "GOV", Code: "1001"}) || len(c.Clients) != 2 || len(c.Services) != 2 {
		t.Errorf("%+v", c)
	}
	if s := c.Services["DEMO/GOV/1001/people/person"]; s.HTTP == nil || s.HTTP.Connections != 512 {
		t.Errorf("%+v", s.HTTP)
	}
}
