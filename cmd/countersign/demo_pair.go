package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/xroad"
)

// pairInfo is what demo --pair prints: enough to drive the pair from outside.
type pairInfo struct {
	ClientURL   string            `json:"clientURL"`
	Headers     map[string]string `json:"headers"`
	PersonIDs   []string          `json:"personIDs"`
	WrkScript   string            `json:"wrkScript"`
	GatewayPIDs []int             `json:"gatewayPIDs"`
}

// pairPeople is how many people the benchmark asks about in turn.
const pairPeople = 20000

// pair prints where the pair is and how to ask it, and waits.
func (c *demoCmd) pair(ctx context.Context, s streams, d *demoFile) error {
	mun, pop := d.Members[law.MUN], d.Members[law.POP]
	token, err := readLine(mun.TokenFile)
	if err != nil {
		return err
	}
	info := pairInfo{
		ClientURL: mun.Client + "/r1/" + xroad.EncodeService(law.Service(law.POP, "benchperson")) + "/" + pairPerson(0),
		Headers: map[string]string{
			xroad.HeaderClient: xroad.EncodeSubsystem(law.Client(law.MUN)), exchange.HeaderToken: token,
			exchange.HeaderPurpose: "bench", exchange.HeaderBasis: "demo-rules-1",
		},
		WrkScript: d.path("bench.lua"), GatewayPIDs: []int{mun.PID, pop.PID},
	}
	for i := range pairPeople {
		info.PersonIDs = append(info.PersonIDs, "pin:"+pairPerson(i))
	}
	if err := os.WriteFile(info.WrkScript, []byte(wrkScript(info.ClientURL)), 0o600); err != nil {
		return err
	}
	if err := json.NewEncoder(s.out).Encode(info); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// pairPerson is an invented identifier of the demo's scheme: seven characters of capitals and digits.
func pairPerson(i int) string { return fmt.Sprintf("B%06d", i) }

// wrkScript asks about another person with each request.
func wrkScript(clientURL string) string {
	base := clientURL[strings.Index(clientURL, "/r1/") : strings.LastIndex(clientURL, "/")+1]
	return fmt.Sprintf(`local n = 0
local base = %q
function request()
  n = (n + 1) %% %d
  return wrk.format("GET", base .. string.format("B%%06d", n))
end
`, base, pairPeople)
}
