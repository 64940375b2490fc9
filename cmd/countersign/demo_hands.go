package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/demo/scenario"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/web/page"
)

// hands do what the people of the demo do: each deed is a command of this program, or a page of the portal, as its doer would use it.
type hands struct {
	*demoFile
	fleet  *fleet
	folder string // for the papers that pass from hand to hand
	began  time.Time
}

// command runs one command of this program and gives what it printed.
func (h *hands) command(args ...string) (string, error) {
	var out, diagnosis bytes.Buffer
	if status := run(args, streams{&out, &diagnosis}); status != exitOK {
		return "", fmt.Errorf("countersign %s %s: exit status %d: %s", args[0], args[1], status, strings.TrimSpace(diagnosis.String()))
	}
	return out.String(), nil
}

// paper writes what passes from hand to hand, and gives its file.
func (h *hands) paper(name, text string) (string, error) {
	file := filepath.Join(h.folder, name)
	return file, os.WriteFile(file, []byte(text+"\n"), 0o600)
}

// Official implements scenario.Hands.
func (h *hands) Official(ctx context.Context, agency, pin string) (string, error) {
	return h.login(ctx, agency, pin, "")
}

// order is the flags of an order: everything that the service grants the client for the purpose.
func (h *hands) order(q *scenario.Order) ([]string, error) {
	doc, err := readDocument(h.path("federation.json"))
	if err != nil {
		return nil, err
	}
	service, client := law.Service(q.Of, q.Service), law.Client(q.Client)
	for i := range doc.Services {
		for _, g := range doc.Services[i].Grants {
			if doc.Services[i].ID != service || string(g.Purpose) != q.Purpose || !granted(g, client) {
				continue
			}
			var fields []string
			for _, f := range g.Fields {
				fields = append(fields, string(f))
			}
			var basis countersign.BasisCode
			for _, p := range doc.Purposes {
				if string(p.Code) == q.Purpose {
					basis = p.Bases[0]
				}
			}
			return []string{
				"--subject", "pin:" + q.Person, "--client", client.String(), "--service", service.String(), "--fields", strings.Join(fields, ","),
				"--purpose", q.Purpose, "--basis", string(basis),
			}, nil
		}
	}
	return nil, fmt.Errorf("%s grants %s nothing for %s", service, client, q.Purpose)
}

func granted(g countersign.Grant, client countersign.SubsystemID) bool {
	for _, c := range g.Clients {
		if c == "*" || c == client.String() {
			return true
		}
	}
	return false
}

// mandate runs a command that writes a mandate, and gives what it wrote.
func (h *hands) mandate(flags []string, args ...string) (string, error) {
	file := filepath.Join(h.folder, "mandate.txt")
	if _, err := h.command(append(append(args, flags...), "--out", file)...); err != nil {
		return "", err
	}
	return readLine(file)
}

// Warrant implements scenario.Hands.
func (h *hands) Warrant(_ context.Context, q scenario.Order) (string, error) {
	flags, err := h.order(&q)
	if err != nil {
		return "", err
	}
	facts, err := h.paper("facts.txt", "What the court was shown: "+q.Ground)
	if err != nil {
		return "", err
	}
	return h.mandate(flags, "court", "issue", "--dir", h.Offices[courtCode].Dir, "--judge", "judge-1", "--ground", q.Ground, "--facts", facts,
		"--privilege", "none", "--case", q.File)
}

// Emergency implements scenario.Hands.
func (h *hands) Emergency(_ context.Context, q scenario.Order) (string, error) {
	flags, err := h.order(&q)
	if err != nil {
		return "", err
	}
	m := h.Members[q.Client]
	args := []string{"emergency", "--gateway", m.Client, "--token-file", m.TokenFile, "--ground", q.Ground}
	for i, token := range q.Officials {
		file, err := h.paper(fmt.Sprintf("official-%d.jwt", i), token)
		if err != nil {
			return "", err
		}
		args = append(args, "--official", file)
	}
	return h.mandate(flags, args...)
}

// Review implements scenario.Hands: the agency hands its receipt to the overseer.
func (h *hands) Review(ctx context.Context, agency, exchange, finding, reason string) error {
	ctx, cancel := context.WithTimeout(ctx, auditPatience)
	defer cancel()
	ask := askCmd{Gateway: h.Members[agency].Client, TokenFile: h.Members[agency].TokenFile}
	for {
		text, err := ask.fetchReceipt(ctx, http.DefaultClient, exchange)
		if err == nil {
			if r, perr := countersign.ParseReceipt(text); perr == nil && r.Proof != "" {
				file, err := h.paper("receipt.json", string(text))
				if err != nil {
					return err
				}
				_, err = h.command("oversight", "review", "--dir", h.Offices[overseerCode].Dir, "--overseer", "overseer-1", "--finding", finding, "--reason", reason, file)
				return err
			}
		}
		if !again(ctx, 200*time.Millisecond) {
			return errors.Join(err, ctx.Err())
		}
	}
}

// Consent implements scenario.Hands: the consent is written down, the person logs in for exactly that, and the portal's log registers it.
func (h *hands) Consent(ctx context.Context, q scenario.Order) (string, error) {
	flags, err := h.order(&q)
	if err != nil {
		return "", err
	}
	consent := filepath.Join(h.folder, "consent.json")
	nonce, err := h.command(append([]string{"consent", "write", "--text", q.Ground, "--lang", "en", "--out", consent}, flags...)...)
	if err != nil {
		return "", err
	}
	token, err := h.loginAt(ctx, h.asConsenting(), q.Person, strings.TrimSpace(nonce))
	if err != nil {
		return "", err
	}
	own, err := h.paper("own.jwt", token)
	if err != nil {
		return "", err
	}
	return h.mandate(nil, "consent", "give", "--registry", h.Portal.Public, "--consent", consent, "--identity", own)
}

// Withdraw implements scenario.Hands.
func (h *hands) Withdraw(ctx context.Context, pin, mandate string) error {
	file, err := h.paper("mandate.txt", mandate)
	if err != nil {
		return err
	}
	nonce, err := h.command("consent", "nonce", file)
	if err != nil {
		return err
	}
	token, err := h.loginAt(ctx, h.asConsenting(), pin, strings.TrimSpace(nonce))
	if err != nil {
		return err
	}
	own, err := h.paper("own.jwt", token)
	if err != nil {
		return err
	}
	_, err = h.command("consent", "withdraw", "--registry", h.Portal.Public, "--mandate", file, "--identity", own)
	return err
}

// Object implements scenario.Hands: the person finds the exchange on the timeline and fills in the form that its page offers.
func (h *hands) Object(_ context.Context, pin, exchange, ground, text string) (string, error) {
	v, err := loginAt(h.Portal.URL, pin)
	if err != nil {
		return "", err
	}
	body, err := v.read(h.Portal.URL + "/api/uses")
	if err != nil {
		return "", err
	}
	var history struct {
		Uses []struct {
			Handle    string
			Statement struct{ Exchange string }
		}
	}
	if err := json.Unmarshal(body, &history); err != nil {
		return "", err
	}
	for _, u := range history.Uses {
		if u.Statement.Exchange == exchange {
			return h.open(v, strings.Replace(page.PathObject, "{handle}", u.Handle, 1), url.Values{"ground": {ground}, "text": {text}})
		}
	}
	return "", fmt.Errorf("the timeline does not show exchange %s", exchange)
}

// Correct implements scenario.Hands: the person finds the register on the page of what is held.
func (h *hands) Correct(_ context.Context, pin, register, field, ground, text string) (string, error) {
	doc, err := readDocument(h.path("federation.json"))
	if err != nil {
		return "", err
	}
	name := ""
	for i := range doc.Services {
		if doc.Services[i].ID.Service == register {
			name = doc.Services[i].Text.In("en")
		}
	}
	v, err := loginAt(h.Portal.URL, pin)
	if err != nil {
		return "", err
	}
	body, err := v.read(h.Portal.URL + page.PathCatalogue)
	if err != nil {
		return "", err
	}
	for _, part := range strings.Split(string(body), "<section")[1:] {
		if m := formLinks["correct"].FindStringSubmatch(part); m != nil && strings.Contains(part, ">"+name+"<") {
			return h.open(v, m[1], url.Values{"field": {field}, "ground": {ground}, "text": {text}})
		}
	}
	return "", fmt.Errorf("the page of what is held does not show %s", name)
}

// formLinks find where forms are on the portal's pages.
var formLinks = map[string]*regexp.Regexp{
	"correct": regexp.MustCompile(`href="(/held/[^"]+/correct)"`),
	"object":  regexp.MustCompile(`href="(/uses/[^"]+/object)"`),
}

// open sends a form that opens a case and gives the case's number.
func (h *hands) open(v *visitor, form string, fields url.Values) (string, error) {
	before, err := h.files()
	if err != nil {
		return "", err
	}
	if err := v.send(h.Portal.URL, form, fields); err != nil {
		return "", err
	}
	after, err := h.files()
	for number := range after {
		if !before[number] {
			return number, err
		}
	}
	return "", errors.Join(err, errors.New("no case was opened"))
}

// files are the numbers of all cases against agencies of the demo.
func (h *hands) files() (map[string]bool, error) {
	out := map[string]bool{}
	for _, m := range h.Members {
		text, err := h.command("case", "list", "--config", m.Config, "--json")
		if err != nil {
			return nil, err
		}
		var list []subject.Case
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			return nil, err
		}
		for i := range list {
			out[string(list[i].Number)] = true
		}
	}
	return out, nil
}

// Appeal implements scenario.Hands.
func (h *hands) Appeal(_ context.Context, pin, text string) error {
	v, err := loginAt(h.Portal.URL, pin)
	if err != nil {
		return err
	}
	newest, err := v.link(h.Portal.URL+page.PathCases, `href="(/cases/[^"/]+)"`)
	if err != nil {
		return err
	}
	return v.send(h.Portal.URL, newest+"/appeal", url.Values{"appeal": {text}})
}

// Answer implements scenario.Hands.
func (h *hands) Answer(_ context.Context, agency, file, answer, official, role, text string) error {
	reasons, err := h.paper("reasons.txt", text)
	if err != nil {
		return err
	}
	_, err = h.command("case", "answer", "--config", h.Members[agency].Config, "--text", reasons, "--official", official, "--role", role, file, answer)
	return err
}

// Decide implements scenario.Hands. An agency whose silence has just ended its turn may do so between the body's reading and its word: it reads again.
func (h *hands) Decide(ctx context.Context, file, decision, official, role, text string) error {
	reasons, err := h.paper("reasons.txt", text)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, auditPatience)
	defer cancel()
	for {
		_, err = h.command("case", "decide", "--office", h.Offices[overseerCode].Dir, "--text", reasons, "--official", official, "--role", role, file, decision)
		if err == nil || !again(ctx, 500*time.Millisecond) {
			return err
		}
	}
}

// Adjudge implements scenario.Hands.
func (h *hands) Adjudge(_ context.Context, agency, pin, effect, official, role, text string, exchanges []string) error {
	reasons, err := h.paper("reasons.txt", text)
	if err != nil {
		return err
	}
	m := h.Members[agency]
	_, err = h.command(append([]string{
		"decision", "--gateway", m.Client, "--token-file", m.TokenFile, "--client", law.Client(agency).String(), "--subject", "pin:" + pin, "--effect", effect,
		"--official", official, "--role", role, "--text", reasons,
	}, exchanges...)...)
	return err
}

// Until implements scenario.Hands.
func (h *hands) Until(ctx context.Context, day int) error {
	passed, err := letTimePass(h.workingHour(day))
	if err != nil || !passed {
		return err
	}
	for _, p := range h.fleet.parts { // each has to see a fresh directory
		if err := p.await(ctx); err != nil {
			return err
		}
	}
	return nil
}

// workingHour is some time between eight and four of a day of the year, by the clock of the country's east; no day's is the next one's.
func (h *hands) workingHour(day int) time.Time {
	at := h.began.Add(time.Duration(day) * 24 * time.Hour)
	if day > scenario.YearDays {
		return at
	}
	return at.Truncate(24 * time.Hour).Add(time.Duration(4*60+day*97%480) * time.Minute)
}

var _ scenario.Hands = (*hands)(nil)
