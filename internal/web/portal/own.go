package portal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/web"
	"countersign.dev/countersign/internal/web/page"
	"countersign.dev/countersign/internal/xroad"
)

// ownPatience is how long a person waits for a register. Specially protected data leave once witnesses have cosigned, which takes some seconds.
const ownPatience = 30 * time.Second

// ownPath is where a register answers a person by code alone; empty where it shows people nothing in this way.
func (n *names) ownPath(d *countersign.Service, portal countersign.MemberID, person countersign.SubjectID) string {
	client := countersign.SubsystemID{MemberID: portal, Subsystem: subject.SubsystemPortal}.String()
	granted := slices.ContainsFunc(d.Grants, func(g countersign.Grant) bool {
		return g.Purpose == exchange.PurposeOwnAccess && slices.Contains(g.Clients, client)
	})
	if !granted || d.Disabled || d.Subject.From != countersign.SubjectInRequest || d.Subject.In != "path" || d.Subject.Scheme != person.Scheme {
		return ""
	}
	variable := "{" + d.Subject.Name + "}"
	for _, e := range d.Endpoints {
		if e.Method == http.MethodGet && strings.Count(e.Path, "{") == 1 && strings.Contains(e.Path, variable) && !strings.Contains(e.Path, "*") {
			return strings.Replace(e.Path, variable, url.PathEscape(person.Value), 1)
		}
	}
	return ""
}

// ownData asks a register for the person's own data, by an exchange like any other, and shows what it answers, once. Nothing of it is kept.
//
// LAW: GDPR Art. 15; guarantee 1, the portal holds no register's data; guarantee 9, the person's own reading is on record.
func (s *Server) ownData(w http.ResponseWriter, r *http.Request, one *session) error {
	var id countersign.ServiceID
	if err := one.openHandle(handleRegister, r.PathValue("handle"), &id); err != nil {
		return err
	}
	n, err := s.names(r)
	if err != nil {
		return err
	}
	d := n.find(id)
	if d == nil || s.o.Exchange == nil {
		return countersign.Refuse(countersign.CodeUnknownService, "the directory knows no such register any more")
	}
	to := n.ownPath(d, s.o.Member, one.person.Subject)
	if to == "" {
		return countersign.Refuse(countersign.CodeUnknownService, "this register shows people nothing in this way: ask its holder")
	}
	frame := s.frame(r, one, page.SectionCatalogue)
	v := page.OwnData{Register: n.service(id), Holder: n.member(id.MemberID), Handle: one.handle(handleRegister, id), Asked: s.o.Clock.Now()}
	answer, err := s.askOwn(r.Context(), one, n, id, to)
	switch {
	case err != nil:
		return err
	case answer.header.Get(xroad.HeaderCountersignError) != "":
		v.Failed = countersign.Code(answer.header.Get(xroad.HeaderCountersignError))
	case answer.status == http.StatusNotFound:
		v.Empty = true
	case answer.status != http.StatusOK:
		v.Failed = countersign.CodeNetwork
	default:
		if v.Rows, err = rowsOf(answer.body.Bytes(), frame.Locale); err != nil {
			v.Failed = countersign.CodeInconsistent
		}
		v.Empty = err == nil && len(v.Rows) == 0
	}
	return s.render(w, r, http.StatusOK, page.OwnDataPage(frame, v))
}

// backToCatalogue is for whoever comes to the address of own data otherwise than by its form: nothing is asked of a register by following a link.
func (s *Server) backToCatalogue(w http.ResponseWriter, r *http.Request, _ *session) error {
	http.Redirect(w, r, page.PathCatalogue, http.StatusSeeOther)
	return nil
}

// askOwn puts the person's question through the portal's own gateway, which records it as any other.
func (s *Server) askOwn(ctx context.Context, one *session, n *names, id countersign.ServiceID, path string) (*answer, error) {
	token, proof, err := s.o.Subject.OwnRequest(one.person, id)
	if err != nil {
		return nil, err
	}
	mandate, err := exchange.PresentOwn(token, proof)
	if err != nil {
		return nil, err
	}
	purpose := n.purposeOf(exchange.PurposeOwnAccess)
	if purpose == nil || len(purpose.Bases) == 0 {
		return nil, countersign.Refuse(countersign.CodeUnknownPurpose, "the directory has no purpose for people's own requests")
	}
	ctx, cancel := context.WithTimeout(ctx, ownPatience)
	defer cancel()
	target := "/r1/" + id.String() + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody) //nolint:gosec // it goes to no host: the gateway within this process takes it
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "the question cannot be written")
	}
	req.RequestURI = target
	h := req.Header
	h.Set(xroad.HeaderClient, xroad.EncodeSubsystem(countersign.SubsystemID{MemberID: s.o.Member, Subsystem: subject.SubsystemPortal}))
	h.Set("Accept", "application/json")
	h[exchange.HeaderPurpose], h[exchange.HeaderBasis], h[exchange.HeaderMandate] = []string{string(purpose.Code)}, []string{string(purpose.Bases[0])}, []string{mandate}
	out := &answer{header: http.Header{}, status: http.StatusOK}
	s.o.Exchange.ServeHTTP(out, req)
	return out, nil
}

// answer takes what a handler answers within this process. It is bounded by the gateway, which refuses larger answers about people.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

var _ http.ResponseWriter = (*answer)(nil)

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

const (
	maxRows  = 5000
	maxDepth = 32
)

// rowsOf writes a JSON document out as rows, in its own order. Elements of a list stay together.
func rowsOf(text []byte, l *web.Localizer) ([]page.DataRow, error) {
	f := &flattening{dec: json.NewDecoder(bytes.NewReader(text)), l: l}
	f.dec.UseNumber()
	if err := f.value("", 0, 0); err != nil {
		return nil, err
	}
	if _, err := f.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, countersign.Refuse(countersign.CodeInconsistent, "the register's answer has something after its end")
	}
	return f.rows, nil
}

type flattening struct {
	dec   *json.Decoder
	l     *web.Localizer
	rows  []page.DataRow
	group int
}

func (f *flattening) value(at string, group, depth int) error {
	if depth > maxDepth || len(f.rows) > maxRows {
		return countersign.Refuse(countersign.CodeTooLarge, "the register's answer is too deep or too long to be shown")
	}
	t, err := f.dec.Token()
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeInconsistent, err, "the register's answer cannot be read")
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '{' {
			return f.object(at, group, depth)
		}
		return f.list(at, group, depth)
	case string:
		f.add(at, group, f.text(t))
	case json.Number:
		f.add(at, group, t.String())
	case bool:
		f.add(at, group, f.l.T("own."+strconv.FormatBool(t)))
	case nil:
		f.add(at, group, "")
	}
	return nil
}

func (f *flattening) object(at string, group, depth int) error {
	for f.dec.More() {
		name, err := f.dec.Token()
		if err != nil {
			return countersign.RefuseBecause(countersign.CodeInconsistent, err, "the register's answer cannot be read")
		}
		if name == kindMember && at != "" {
			kind, err := f.dec.Token()
			if text, ok := kind.(string); err == nil && ok {
				f.add(at+"/"+kindMember, group, f.l.Kind(text))
				at += "[" + text + "]" // as field paths name what stands below it
				continue
			}
			return countersign.Refuse(countersign.CodeInconsistent, "the register's answer names a kind of record that is no text")
		}
		if err := f.value(at+"/"+name.(string), group, depth+1); err != nil {
			return err
		}
	}
	_, err := f.dec.Token()
	return err
}

// kindMember says of what kind a record is, where an answer holds records of several kinds (FHIR). Registers write it first.
const kindMember = "resourceType"

// list gives each element of an outermost list a group of its own.
func (f *flattening) list(at string, group, depth int) error {
	empty := true
	for f.dec.More() {
		empty = false
		mine := group
		if group == 0 {
			f.group++
			mine = f.group
		}
		if err := f.value(at+"/*", mine, depth+1); err != nil {
			return err
		}
	}
	if empty {
		f.add(at, group, f.l.T("own.none"))
	}
	_, err := f.dec.Token()
	return err
}

func (f *flattening) add(at string, group int, value string) {
	f.rows = append(f.rows, page.DataRow{Path: countersign.FieldPath(at), Value: value, Group: group})
}

// text writes dates as the language does, and everything else as it is.
func (f *flattening) text(s string) string {
	if day, err := time.ParseInLocation(time.DateOnly, s, f.l.Place()); err == nil {
		return f.l.Date(day)
	}
	return s
}
