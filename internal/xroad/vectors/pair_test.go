package vectors

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/xroad"
)

// pair is a consumer and a provider gateway in one small handler, without records or signatures: enough of the protocol to show that the
// vectors can be met, and where to break it on purpose.
type pair struct {
	echo      *httptest.Server
	breakage  func(stage string, h http.Header) // may spoil the headers at a stage
	spoilBody bool
	client    *http.Client
}

var testVars = map[string]string{
	"CLIENT": "DEMO/GOV/1001/portal", "STRANGER": "DEMO/GOV/1002/other", "TOKEN": "of-the-client", "INSTANCE": "DEMO", "PROVIDER": "DEMO/GOV/2001/registry",
	"OPEN": "DEMO/GOV/2001/registry/echo", "OPEN_BASE": "/base/open", "OPEN_ODD": "DEMO/GOV/2001/registry/%C3%B6%C3%A4%C3%A5",
	"RULED": "DEMO/GOV/2001/registry/ruled", "RULED_BASE": "/base/ruled", "PERSONAL": "DEMO/GOV/2001/registry/person", "PERSONAL_BODY": "DEMO/GOV/2001/registry/person", "PERSONAL_BASE": "/base/person",
	"UNDECLARED": "DEMO/GOV/2001/registry/undeclared", "OPEN_PURPOSE": "open-data", "OPEN_BASIS": "law-1", "DISABLED": "DEMO/GOV/2001/registry/disabled",
	"DOWN": "DEMO/GOV/2001/registry/down", "SERVER": "DEMO/GOV/2001/gate", "OPENAPI_CODE": "person", "PIN": "12345678901", "PURPOSE": "benefit-decision", "BASIS": "law-2",
	"BLANK_PURPOSE": "curiosity", "CASE": "2026/7", "OFFICIAL": "official-1",
}

func (p *pair) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	xroad.CloseAfterChunks(w, r)
	side, err := p.serve(w, r)
	if err != nil {
		xroad.WriteError(w, r, side, xroad.StyleSnake, err, countersign.ExchangeID{6: 0x70, 8: 0x80}.String())
	}
}

func (p *pair) serve(w http.ResponseWriter, r *http.Request) (xroad.Side, error) {
	client, err := xroad.ParseClientHeaders(r.Header)
	if err != nil {
		return xroad.ClientProxy, err
	}
	if r.Header.Get("Countersign-Token") != testVars["TOKEN"] || xroad.EncodeSubsystem(client.Client) != testVars["CLIENT"] {
		return xroad.ClientProxy, countersign.Refuse(countersign.CodeUnauthenticated, "prove who you are")
	}
	if r.URL.Path == xroad.PathListClients {
		return xroad.ClientProxy, listClients(w, r, client)
	}
	if err := xroad.CheckVerb(r.Method); err != nil {
		return xroad.ClientProxy, err
	}
	target, err := xroad.ParseTarget(r.RequestURI)
	if err != nil {
		return xroad.ClientProxy, err
	}
	if s := client.SecurityServer; !s.IsZero() && s.Server != "gate" {
		return xroad.ClientProxy, xroad.InvalidSecurityServer("name gate")
	}
	if target.Service.Instance != "DEMO" || target.Service.Code != "2001" {
		return xroad.ClientProxy, countersign.Refuse(countersign.CodeUnknownMember, "no such member")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return xroad.ClientProxy, countersign.Refuse(countersign.CodeBadRequest, "the body ended early")
	}
	requestID := countersign.NewExchangeID(time.Now()).String()
	id, made := client.ID, client.ID == ""
	if made {
		id = xroad.NewMessageID("DEMO")
	}
	digest := xroad.NewBodyDigest()
	digest.Write(body)
	echo := xroad.Echo{ID: id, Client: client.Client, Service: target.Service, RequestID: requestID, RequestHash: xroad.RequestHash(
		xroad.HashBlock(r.Method, r.RequestURI, r.Header, requestID, id, made), digest.Sum(nil), len(body) > 0)}
	if xroad.IsMetadataService(r.Method, target.Service.Service) {
		return xroad.ServerProxy, metadata(w, target, echo)
	}
	base, personal, err := authorise(r, target, body)
	if err != nil {
		return xroad.ServerProxy, err
	}
	return xroad.ServerProxy, p.forward(w, r, target, echo, base, personal, body)
}

func listClients(w http.ResponseWriter, r *http.Request, client xroad.ClientHeaders) error {
	clients := []xroad.Client{{ID: countersign.SubsystemID{MemberID: client.Client.MemberID}, Name: "Agency"}, {ID: client.Client, Name: "Agency"}}
	if of := r.URL.Query().Get(xroad.ParamInstance); of != "" && of != "DEMO" {
		clients = nil
	}
	contentType, body, err := xroad.ClientList(r.Header, clients)
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(body) //nolint:gosec // XML or JSON, to a test
	return err
}

func metadata(w http.ResponseWriter, target xroad.Target, echo xroad.Echo) error {
	var body []byte
	var err error
	if target.Service.Service == xroad.ServiceGetOpenAPI {
		query, perr := url.ParseQuery(target.Query)
		switch code := query.Get(xroad.ParamServiceCode); {
		case perr != nil || code == "":
			return countersign.Refuse(countersign.CodeBadRequest, "serviceCode is missing")
		case code != "person":
			return countersign.Refuse(countersign.CodeUnknownService, "no such service")
		}
		body, err = xroad.RewriteServers([]byte(`{"openapi":"3.0.0","servers":[{"url":"http://127.0.0.1:9/base/person"}]}`))
	} else {
		id := target.Service
		id.Service = "person"
		body, err = xroad.MethodList([]xroad.ServiceDetails{{ID: id, Type: xroad.ServiceOpenAPI, Endpoints: []xroad.Endpoint{{Method: "GET", Path: "/persons/{pin}"}}}})
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	echo.Set(w.Header())
	_, _ = w.Write(body)
	return nil
}

func authorise(r *http.Request, target xroad.Target, body []byte) (base string, personal bool, err error) {
	granted := func(rules ...string) error {
		for _, rule := range rules {
			if verb, pattern, _ := strings.Cut(rule, " "); verb == r.Method && xroad.MatchPath(pattern, target.RulePath) {
				return nil
			}
		}
		return countersign.Refuse(countersign.CodeAccessDenied, "no rule lets this client call this")
	}
	switch target.Service.Service {
	case "echo", "öäå":
		return "/base/open", false, nil
	case "ruled":
		return "/base/ruled", false, granted("GET /public/**", "GET /items/*")
	case "undeclared":
		if r.Header.Get("Countersign-Purpose") == "" {
			err = countersign.Refuse(countersign.CodeNoPurpose, "state a purpose")
		}
		return "/base/open", false, err
	case "disabled":
		return "", false, countersign.Refuse(countersign.CodeServiceDisabled, "out of use")
	case "down":
		return "", false, nil
	case "person":
		return "/base/person", true, errors.Join(purposeOf(r), granted("GET /persons/{pin}", "POST /query"), xroad.CheckPersonalRequest(r.Header), subjectOf(r, body))
	}
	return "", false, countersign.Refuse(countersign.CodeUnknownService, "no such service")
}

func purposeOf(r *http.Request) error {
	stated := r.Header.Values("Countersign-Purpose")
	switch {
	case len(stated) == 0:
		return countersign.Refuse(countersign.CodeNoPurpose, "state a purpose")
	case len(stated) > 1:
		return countersign.Refuse(countersign.CodeBadRequest, "state one purpose")
	case stated[0] == testVars["BLANK_PURPOSE"]:
		return countersign.Refuse(countersign.CodeForbiddenCell, "not for this purpose")
	case stated[0] != testVars["PURPOSE"]:
		return countersign.Refuse(countersign.CodeUnknownPurpose, "no such purpose")
	}
	return nil
}

func subjectOf(r *http.Request, body []byte) error {
	if r.Method != http.MethodPost {
		return nil
	}
	var question struct {
		PIN string `json:"pin"`
	}
	if len(body) > 1<<20 {
		return countersign.Refuse(countersign.CodeTooLarge, "a megabyte at most")
	}
	if err := json.Unmarshal(body, &question); err != nil || question.PIN == "" {
		return countersign.Refuse(countersign.CodeNoSubject, "name one person at /pin")
	}
	return nil
}

func (p *pair) forward(w http.ResponseWriter, r *http.Request, target xroad.Target, echo xroad.Echo, base string, personal bool, body []byte) error {
	if base == "" {
		return countersign.Refuse(countersign.CodeNetwork, "the register does not answer")
	}
	onward, err := http.NewRequestWithContext(r.Context(), r.Method, p.echo.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	onward.URL.Opaque = base + target.PathAndQuery()
	onward.Header["User-Agent"] = nil
	xroad.CopyRequestHeaders(onward.Header, r.Header, personal)
	onward.Header.Set(xroad.HeaderID, echo.ID)
	onward.Header.Set(xroad.HeaderRequestID, echo.RequestID)
	p.spoil("request", onward.Header)
	xroad.NeverRepeat(onward)
	response, err := p.client.Do(onward) //nolint:gosec // the address is the test's own echo, and the path is what the vectors are about
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeNetwork, err, "the register does not answer")
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeNetwork, err, "the register's answer ended early")
	}
	if personal && response.StatusCode == http.StatusOK {
		if answer, err = filter(answer); err != nil {
			return err
		}
		w.Header().Set("Countersign-Receipt", "promised")
	}
	if p.spoilBody {
		answer = append(answer, "religion"...)
	}
	xroad.CopyResponseHeaders(w.Header(), response.Header, personal)
	echo.Set(w.Header())
	p.spoil("response", w.Header())
	w.WriteHeader(response.StatusCode)
	_, _ = w.Write(answer)
	return nil
}

func (p *pair) spoil(stage string, h http.Header) {
	if p.breakage != nil {
		p.breakage(stage, h)
	}
}

func filter(answer []byte) ([]byte, error) {
	if len(answer) > 4<<20 {
		return nil, countersign.Refuse(countersign.CodeUnfilterable, "the register's answer has more than %d bytes", 4<<20)
	}
	var fields map[string]jsontext.Value
	if err := json.Unmarshal(answer, &fields); err != nil || len(fields["given_name"]) == 0 {
		return nil, countersign.Refuse(countersign.CodeUnfilterable, "the register's answer cannot be read")
	}
	return json.Marshal(map[string]jsontext.Value{"given_name": fields["given_name"]})
}

// startPair runs a pair; wrap may stand between the runner and the pair.
func startPair(t *testing.T, p *pair, wrap func(http.Handler) http.Handler) Env {
	t.Helper()
	echo := NewEcho()
	p.echo = httptest.NewServer(echo)
	t.Cleanup(p.echo.Close)
	p.client = &http.Client{
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var handler http.Handler = p
	if wrap != nil {
		handler = wrap(p)
	}
	gateway := httptest.NewServer(handler)
	gateway.Config.ErrorLog = nil
	t.Cleanup(gateway.Close)
	at, err := url.Parse(gateway.URL)
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{"UPSTREAM_HOST": strings.TrimPrefix(p.echo.URL, "http://")}
	for k, v := range testVars {
		vars[k] = v
	}
	return Env{Gateway: at, Vars: vars, Upstream: echo}
}
