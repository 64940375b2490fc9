package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"

	"countersign.dev/countersign/demo/country"
	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/demo/registers"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/xroad/vectors"
)

type demoCmd struct {
	Dir      string `help:"Folder of the demo; kept, so that everything survives a restart. A temporary one if not given with --once or --pair." placeholder:"DIR" type:"path"`
	People   int    `help:"People of the fictional country, 300 to 100,000." default:"10000"`
	Once     bool   `help:"Play a scenario with a killed gateway, let a separate auditor judge it, and exit with its verdict."`
	Pair     bool   `help:"Start only a consumer's and a provider's gateway, with directory and witnesses, in front of --upstream."`
	Upstream string `help:"Upstream of the pair: answers any path with a JSON document about one person." placeholder:"URL"`
	JSON     bool   `help:"Print JSON: where everything is, or the verdict as the last line."`
}

// Run makes the federation if need be and runs it.
func (c *demoCmd) Run(ctx context.Context, s streams) (err error) {
	if c.Pair != (c.Upstream != "") {
		return fmt.Errorf("--pair and --upstream go together")
	}
	ctx = untilInputEnds(ctx)
	dir := c.Dir
	switch {
	case dir != "":
	case c.Once || c.Pair:
		if dir, err = os.MkdirTemp("", "countersign-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	default:
		dir = "demo-data"
	}
	progress := func(line string) { fmt.Fprintln(s.err, "  "+line) }
	plan := demoPlan{people: c.People, agencies: law.Agencies(), upstream: c.Upstream, portal: !c.Pair && !c.Once}
	if plan.portal {
		plan.offices = officeCodes()
	}
	if c.Pair {
		plan.agencies = []string{law.MUN, law.POP}
	}
	if plan.portal {
		if err := beginTime(dir); err != nil {
			return err
		}
	}
	begun := clock.Default().Now()
	d, err := buildDemo(ctx, dir, plan, progress)
	if err != nil {
		return err
	}
	self, err := executable()
	if err != nil {
		return err
	}
	f, err := d.fleetOf(self)
	if err != nil {
		return err
	}
	progress(fmt.Sprintf("starting %d processes", len(f.parts)))
	defer f.stop()
	if err := f.start(ctx); err != nil {
		return err
	}
	if err := d.notePIDs(f); err != nil {
		return err
	}
	progress(fmt.Sprintf("up after %.1f s", clock.Default().Now().Sub(begun).Seconds()))
	switch {
	case c.Once:
		return c.once(ctx, s, d, f)
	case c.Pair:
		return c.pair(ctx, s, d)
	}
	return c.open(ctx, s, d, f)
}

// open tells where everything is and plays the family's year: on real time all at once and behind what is told, on simulated time before it, since every
// login would end with each week that passes.
func (c *demoCmd) open(ctx context.Context, s streams, d *demoFile, f *fleet) error {
	family := func() {
		if err := d.family(ctx, f, s); err != nil && ctx.Err() == nil {
			fmt.Fprintf(s.err, "countersign: the family's year stopped: %v\n", err)
		}
	}
	var playing sync.WaitGroup
	defer playing.Wait()
	if clock.Simulated {
		family()
	} else {
		playing.Go(family)
	}
	if err := c.introduce(s, d); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// introduce says where everything is and what to try.
func (c *demoCmd) introduce(s streams, d *demoFile) error {
	if c.JSON {
		return json.NewEncoder(s.out).Encode(d)
	}
	atlas, err := country.Open(d.path("registers"))
	if err != nil {
		return err
	}
	self, err := executable()
	if err != nil {
		return err
	}
	mun, pop := d.Members[law.MUN], d.Members[law.POP]
	pin := string(atlas.Cast.Celebrity.PIN)
	var b strings.Builder
	fmt.Fprintf(&b, "\nThe federation of a fictional country runs on this machine. All people and laws are invented.\n\n")
	fmt.Fprintf(&b, "  directory   %s\n", d.Directory.URL)
	for _, code := range law.Agencies() {
		m := d.Members[code]
		fmt.Fprintf(&b, "  %-11s %-28s log %s/checkpoint   metrics %s/metrics\n", m.ID.Class+"/"+code, m.Client, m.Public, m.Admin)
	}
	for name, w := range d.Witnesses {
		fmt.Fprintf(&b, "  witness     %-28s %s\n", w.URL, name)
	}
	if d.Portal != nil {
		fmt.Fprintf(&b, "\nWho asked about me? Log in as anybody. Most has happened to %s:\n\n  %s\n", person(&atlas.Cast), d.Portal.URL)
		fmt.Fprintf(&b, "\nWhoever gives an address there gets notices. They go no further than this page:\n\n  %s\n", d.Mail.URL)
	}
	fmt.Fprintf(&b, "\nAsk as the municipality, for property tax, where somebody lives:\n\n")
	fmt.Fprintf(&b, "  curl -i -H 'X-Road-Client: %s' -H 'X-Road-UserId: clerk-7' \\\n", law.Client(law.MUN))
	fmt.Fprintf(&b, "    -H 'Countersign-Purpose: property-tax' -H 'Countersign-Legal-Basis: tax-code-202' \\\n")
	fmt.Fprintf(&b, "    -H \"Countersign-Token: $(cat %s)\" \\\n", mun.TokenFile)
	fmt.Fprintf(&b, "    %s/r1/%s/%s\n", mun.Client, law.Service(law.POP, "residence"), pin)
	fmt.Fprintf(&b, "\nThen look at what the population register has on record about it, and about its refusals:\n\n")
	fmt.Fprintf(&b, "  %s record --config %s\n", self, pop.Config)
	fmt.Fprintf(&b, "\nChange the purpose to something else and see it refused. Keep the receipt of an exchange, and check it offline:\n\n")
	fmt.Fprintf(&b, "  %s ask --gateway %s --token-file %s --client %s --service %s \\\n", self, mun.Client, mun.TokenFile, law.Client(law.MUN), law.Service(law.POP, "person"))
	fmt.Fprintf(&b, "    --path /%s --purpose property-tax --basis tax-code-202 --official <(echo clerk-7) --receipt receipt.json\n", pin)
	fmt.Fprintf(&b, "  %s verify --policy %s receipt.json\n", self, d.Policy)
	fmt.Fprintf(&b, "\nEverything else is in %s. Interrupt to stop.\n", demoPath(d.dir))
	_, err = s.out.Write([]byte(b.String()))
	return err
}

// person says as whom to log in first.
func person(cast *country.Cast) string {
	if m := cast.Mother; m.PIN != "" {
		return fmt.Sprintf("%s %s (%s) and %s (%s)", m.GivenName, m.Surname, m.PIN, cast.Father.GivenName, cast.Father.PIN)
	}
	return string(cast.Celebrity.PIN)
}

type demoRegisterCmd struct {
	Agency string `required:""`
	Dir    string `required:"" type:"existingdir"`
	Listen string `required:""`
}

// Run serves one agency's register: an ordinary HTTP service over its own database, which knows nothing of gateways.
func (c *demoRegisterCmd) Run(ctx context.Context, s streams) error {
	ctx = untilInputEnds(ctx)
	socket, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return err
	}
	agency := country.AgencyCode(c.Agency)
	return registers.Serve(ctx, agency, registers.DBPath(c.Dir, agency), socket, registers.WithLogger(slog.New(slog.NewJSONHandler(s.err, nil))))
}

type demoEchoCmd struct {
	Listen string `required:""`
}

// Run serves the echo, on which the protocol is tried.
func (c *demoEchoCmd) Run(ctx context.Context, s streams) error {
	ctx = untilInputEnds(ctx)
	echo := vectors.NewEcho()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.Handle("GET /inspect", echo.Inspect())
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/echo") { // past the mux, which would clean the path
			echo.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
	return serveAll(ctx, slog.New(slog.NewJSONHandler(s.err, nil)), []listener{{name: "echo", address: c.Listen, handler: handler}})
}
