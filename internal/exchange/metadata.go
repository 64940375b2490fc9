package exchange

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/mandate"
	"countersign.dev/countersign/internal/xroad"
)

// metadataService stands for the built-in services: open, without subject.
var metadataService = &offered{Service: &countersign.Service{Subject: countersign.Selector{From: countersign.SubjectNone}}}

// answerMetadata answers listMethods, allowedMethods and getOpenAPI: signed and recorded like any other exchange.
//
// SPEC: PR-MREST: metadata services need no access right.
func (p *Provider) answerMetadata(ctx context.Context, w http.ResponseWriter, rules *rulebook, q *question) {
	asked := q.asked()
	d := rules.policy.Decide(&asked)
	if err := p.reserve(ctx, q, d, nil); err != nil {
		if countersign.CodeOf(err) == countersign.CodeReplay {
			p.status(ctx, w, q)
			return
		}
		p.refuse(ctx, w, rules, q, d, err)
		return
	}
	body, contentType, err := p.metadata(rules, q)
	if err == nil {
		err = d.Err()
	}
	if err == nil {
		err = p.verifyMandates(rules, q)
	}
	if err != nil {
		p.refuse(ctx, w, rules, q, d, err)
		return
	}
	p.release(ctx, w, rules, q, d, &outgoing{
		status: http.StatusOK, header: http.Header{"Content-Type": {contentType}}, body: body,
		fields: []countersign.FieldPath{mandate.AllFields}, outcome: countersign.OutcomeReleased,
	})
}

func (p *Provider) metadata(rules *rulebook, q *question) (body []byte, contentType string, err error) {
	if q.target.Service.Service == xroad.ServiceGetOpenAPI {
		return p.openAPI(rules, q)
	}
	var list []xroad.ServiceDetails
	for i := range rules.view.Document().Services {
		s := &rules.view.Document().Services[i]
		if s.ID.SubsystemID != q.target.Service.SubsystemID || s.Disabled {
			continue
		}
		if q.target.Service.Service == xroad.ServiceAllowedMethods && !allowed(s, q.head.Client) {
			continue
		}
		d := xroad.ServiceDetails{ID: s.ID, Type: xroad.ServiceREST}
		if s.OpenAPI != "" {
			d.Type = xroad.ServiceOpenAPI
		}
		for _, e := range s.Endpoints {
			d.Endpoints = append(d.Endpoints, xroad.Endpoint{Method: e.Method, Path: e.Path})
		}
		list = append(list, d)
	}
	body, err = xroad.MethodList(list)
	return body, "application/json", err
}

// allowed reports whether any grant of a service names the client.
func allowed(s *countersign.Service, client countersign.SubsystemID) bool {
	for _, g := range s.Grants {
		if slices.Contains(g.Clients, "*") || slices.Contains(g.Clients, client.String()) {
			return true
		}
	}
	return false
}

func (p *Provider) openAPI(rules *rulebook, q *question) (body []byte, contentType string, err error) {
	query, err := url.ParseQuery(q.target.Query)
	if err != nil || len(query[xroad.ParamServiceCode]) != 1 {
		return nil, "", countersign.Refuse(countersign.CodeBadRequest, "the query parameter serviceCode must name one service")
	}
	id := countersign.ServiceID{SubsystemID: q.target.Service.SubsystemID, Service: query[xroad.ParamServiceCode][0]}
	s, ok := rules.view.Service(id)
	if !ok {
		return nil, "", countersign.Refuse(countersign.CodeUnknownService, "the directory knows no service of the code in serviceCode")
	}
	text, ok := rules.view.OpenAPI(s.OpenAPI)
	if !ok || s.OpenAPI == "" {
		return nil, "", countersign.Refuse(countersign.CodeUnknownService, "the service has no OpenAPI description")
	}
	if body, err = xroad.RewriteServers(text); err != nil {
		return nil, "", err
	}
	if len(body) > 0 && body[0] == '{' {
		return body, "application/json", nil
	}
	return body, "application/yaml", nil
}

// listClients answers X-Road's list of members and subsystems from the directory. It is no exchange: it asks no provider.
//
// SPEC: PR-META, listClients: XML, or JSON on Accept; the parameter xRoadInstance chooses an instance.
func (c *Consumer) listClients(w http.ResponseWriter, r *http.Request) {
	id := countersign.NewExchangeID(c.now())
	rules, err := c.rulebook()
	if err != nil {
		c.fail(w, r, id, err)
		return
	}
	doc := rules.view.Document()
	if r.Method != http.MethodGet {
		c.fail(w, r, id, countersign.Refuse(countersign.CodeBadRequest, "listClients is asked by GET"))
		return
	}
	if want := r.URL.Query().Get(xroad.ParamInstance); want != "" && want != doc.Instance {
		c.fail(w, r, id, countersign.Refuse(countersign.CodeBadRequest, "the parameter xRoadInstance names no instance of this federation: it has %s", doc.Instance))
		return
	}
	var list []xroad.Client
	for _, m := range doc.Members {
		list = append(list, xroad.Client{ID: countersign.SubsystemID{MemberID: m.ID}, Name: m.Text.In("en")})
		for _, s := range m.Subsystems {
			list = append(list, xroad.Client{ID: countersign.SubsystemID{MemberID: m.ID, Subsystem: s.Code}, Name: m.Text.In("en"), SubsystemName: s.Text.In("en")})
		}
	}
	contentType, body, err := xroad.ClientList(r.Header, list)
	if err != nil {
		c.fail(w, r, id, err)
		return
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(body)
}

// receipt gives a calling system the full receipt of an exchange of its own: the promise, the statement and salt that open the leaf, and the
// proof with the witnesses' cosignatures once there is one.
func (c *Consumer) receipt(w http.ResponseWriter, r *http.Request, text string) {
	id, err := countersign.ParseExchangeID(text)
	if err != nil {
		c.fail(w, r, countersign.NewExchangeID(c.now()), err)
		return
	}
	receipt, err := c.buildReceipt(r, id)
	if err != nil {
		c.fail(w, r, id, err)
		return
	}
	body, err := json.MarshalIndent(receipt, "", "  ")
	if err != nil {
		c.fail(w, r, id, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(append(body, '\n'))
}
