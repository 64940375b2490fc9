package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/subject"
)

// caseCmd is where agencies and the independent body work on people's cases.
type caseCmd struct {
	List   caseListCmd   `cmd:"" help:"The cases against one's own agency; for the independent body, those that it is to decide."`
	Show   caseShowCmd   `cmd:"" help:"One case with its thread."`
	Answer caseAnswerCmd `cmd:"" help:"Answer a case as the agency: replied, accepted, rejected, corrected."`
	Decide caseDecideCmd `cmd:"" help:"Decide a case as the independent body: upheld or dismissed."`
}

// caseSeat says who works on cases: by the keys of a gateway, or of an overseer's office.
type caseSeat struct {
	Config string `help:"The gateway's configuration." type:"existingfile" placeholder:"FILE" xor:"seat" required:""`
	Office string `help:"The overseer's folder." type:"existingdir" placeholder:"DIR" xor:"seat" required:""`
	Portal string `help:"Which portal, by its member; the directory's only one if not given." placeholder:"ID"`
	JSON   bool   `help:"Print JSON."`
}

// seat is a member's way to a portal's cases.
type seat struct {
	member countersign.MemberID
	sign   keys.Signer
	http   *http.Client
	url    string
	now    clock.Clock
}

func (c *caseSeat) sit(ctx context.Context) (*seat, error) {
	s := &seat{now: clock.Default()}
	var sign, tlsFile, url, root string
	if c.Office != "" {
		o, err := loadOffice(c.Office)
		if err != nil {
			return nil, err
		}
		s.member, sign, tlsFile, url, root = o.Member, o.key(), o.tlsKey(), o.Directory, o.Root
	} else {
		conf, err := loadGatewayConfig(c.Config)
		if err != nil {
			return nil, err
		}
		s.member, sign, tlsFile, url, root = conf.Member, conf.key(keySign), conf.key(keyTLS), conf.Fed.URL, conf.path(conf.Fed.Root)
	}
	var err error
	if s.sign, err = keys.Load(sign); err != nil {
		return nil, err
	}
	cert, err := keys.LoadSelfSigned(tlsFile)
	if err != nil {
		return nil, err
	}
	gw, err := c.find(ctx, root, url, s.now)
	if err != nil {
		return nil, err
	}
	s.url = gw.URL + subject.PathCases
	s.http = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: pinnedTo(cert, gw)}}
	return s, nil
}

// pinnedTo admits one gateway's keys alone.
func pinnedTo(cert tls.Certificate, gw *federation.Gateway) *tls.Config {
	return keys.PinnedClient(cert, func(pin keys.SPKIDigest) error {
		if slices.Contains(gw.Pins, pin) {
			return nil
		}
		return countersign.Refuse(countersign.CodeSignature, "the gateway %s of %s presents a key that the directory does not hold for it", gw.Name, gw.Member)
	})
}

// find reads the signed directory afresh and finds the portal in it.
func (c *caseSeat) find(ctx context.Context, root, url string, now clock.Clock) (*federation.Gateway, error) {
	view, err := viewOnce(ctx, root, url, now, nil)
	if err != nil {
		return nil, err
	}
	var found []*federation.Gateway
	for _, m := range view.Document().Members {
		if slices.Contains(m.Roles, countersign.RolePortal) && (c.Portal == "" || m.ID.String() == c.Portal) {
			found = append(found, view.Gateways(m.ID)...)
		}
	}
	if len(found) != 1 {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the directory has %d portals that fit: name one with --portal INSTANCE/CLASS/CODE", len(found))
	}
	return found[0], nil
}

// call asks the portal.
func (s *seat) call(ctx context.Context, method, path string, body, into any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	res, err := s.http.Do(req)
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeNetwork, err, "the portal cannot be reached")
	}
	defer res.Body.Close()
	got, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return countersign.RefuseBecause(countersign.CodeNetwork, err, "the portal broke off")
	}
	if res.StatusCode != http.StatusOK {
		var p struct {
			Code  countersign.Code
			Title string
		}
		if err := json.Unmarshal(got, &p); err != nil || p.Code == "" {
			return countersign.Refuse(countersign.CodeNetwork, "the portal answers with status %d", res.StatusCode)
		}
		return countersign.Refuse(p.Code, "%s", p.Title)
	}
	return json.Unmarshal(got, into)
}

type caseListCmd struct{ caseSeat }

// Run lists.
func (c *caseListCmd) Run(ctx context.Context, s streams) error {
	at, err := c.sit(ctx)
	if err != nil {
		return err
	}
	var list []subject.Case
	if err := at.call(ctx, http.MethodGet, "", nil, &list); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(s.out).Encode(list)
	}
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "NUMBER\tKIND\tSTATE\tAGAINST\tOPENED\tDUE")
	for _, one := range list {
		due := ""
		if !one.Due.IsZero() {
			due = one.Due.Format(time.DateOnly)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", one.Number, one.Kind, one.State, one.Against, one.Opened.Format(time.DateOnly), due)
	}
	return w.Flush()
}

// thread is a case as the portal gives it.
type thread struct {
	Case  subject.Case           `json:"case"`
	Steps []subject.RecordedStep `json:"steps"`
}

func (s *seat) thread(ctx context.Context, number subject.CaseNumber) (*thread, error) {
	t := new(thread)
	err := s.call(ctx, http.MethodGet, "/"+string(number), nil, t)
	if err == nil && len(t.Steps) == 0 {
		err = countersign.Refuse(countersign.CodeInconsistent, "the portal gave a case without steps")
	}
	return t, err
}

type caseShowCmd struct {
	caseSeat
	Number subject.CaseNumber `arg:"" help:"The case's number."`
}

// Run shows.
func (c *caseShowCmd) Run(ctx context.Context, s streams) error {
	at, err := c.sit(ctx)
	if err != nil {
		return err
	}
	t, err := at.thread(ctx, c.Number)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(s.out).Encode(t)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s against %s: %s", t.Case.Number, t.Case.Kind, t.Case.Against, t.Case.State)
	if !t.Case.Due.IsZero() {
		fmt.Fprintf(&b, ", until %s", t.Case.Due.Format(time.RFC3339))
	}
	b.WriteString("\n")
	if about := t.Steps[0].About; about != nil {
		fmt.Fprintf(&b, "about %s %s of %s, exchange %s\nground %s\n", about.Service, about.Field, about.Subject, about.Trace, t.Steps[0].Ground)
	}
	for _, step := range t.Steps {
		fmt.Fprintf(&b, "\n%d  %s  %s by the %s", step.Number, step.At.Time().Format(time.RFC3339), step.Kind, step.By)
		if step.Official != "" {
			fmt.Fprintf(&b, ": %s, %s, %s", step.Official, step.Role, step.Member)
		}
		b.WriteString("\n")
		if step.Text != "" {
			fmt.Fprintf(&b, "   %s\n", strings.ReplaceAll(step.Text, "\n", "\n   "))
		}
		if !step.Before.IsZero() {
			fmt.Fprintf(&b, "   before %s\n   after  %s\n", step.Before, step.After)
		}
	}
	_, err = io.WriteString(s.out, b.String())
	return err
}

// caseAct is what answer and decide have in common.
type caseAct struct {
	caseSeat
	Number   subject.CaseNumber `arg:"" help:"The case's number."`
	As       subject.StepKind   `arg:"" help:"What the answer is."`
	Official string             `help:"Name of the official who answers for it."`
	Role     string             `help:"The official's role."`
	Text     string             `required:"" help:"File with the text that the person reads." type:"existingfile" placeholder:"FILE"`
}

// take signs the act on the case as it stands, and hands it in.
func (c *caseAct) take(ctx context.Context, s streams, a subject.Act) error {
	at, err := c.sit(ctx)
	if err != nil {
		return err
	}
	t, err := at.thread(ctx, c.Number)
	if err != nil {
		return err
	}
	text, err := readSmall(c.Text)
	if err != nil {
		return err
	}
	a.Case, a.Follows, a.Member, a.Kind = c.Number, len(t.Steps)-1, at.member, c.As
	a.Official, a.Role, a.Text = c.Official, c.Role, strings.TrimSpace(string(text))
	act, err := json.Marshal(a)
	if err != nil {
		return err
	}
	signer, err := keys.NewBatchSigner(at.sign)
	if err != nil {
		return err
	}
	sig, err := signer.Sign(ctx, subject.DomainAct, act)
	if err != nil {
		return err
	}
	var one subject.Case
	if err := at.call(ctx, http.MethodPost, "/"+string(c.Number), subject.SignedAct{Act: act, Key: signer.KeyID(), Signature: sig}, &one); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(s.out).Encode(one)
	}
	_, err = fmt.Fprintf(s.out, "%s is %s\n", one.Number, one.State)
	return err
}

type caseAnswerCmd struct {
	caseAct
	Before string `help:"File with the disputed data as they were, for corrected: only its digest leaves." type:"existingfile" placeholder:"FILE"`
	After  string `help:"File with the data as they are now." type:"existingfile" placeholder:"FILE"`
}

// Run answers.
func (c *caseAnswerCmd) Run(ctx context.Context, s streams) error {
	if !slices.Contains([]subject.StepKind{subject.StepReplied, subject.StepAccepted, subject.StepRejected, subject.StepCorrected}, c.As) {
		return countersign.Refuse(countersign.CodeBadRequest, "an answer is replied, accepted, rejected or corrected")
	}
	var a subject.Act
	for _, v := range []struct {
		file string
		to   *countersign.Digest
	}{{c.Before, &a.Before}, {c.After, &a.After}} {
		if v.file == "" {
			continue
		}
		text, err := os.ReadFile(filepath.Clean(v.file))
		if err != nil {
			return err
		}
		*v.to = sha256.Sum256(text)
	}
	return c.take(ctx, s, a)
}

type caseDecideCmd struct{ caseAct }

// Run decides.
func (c *caseDecideCmd) Run(ctx context.Context, s streams) error {
	if c.As != subject.StepUpheld && c.As != subject.StepDismissed {
		return countersign.Refuse(countersign.CodeBadRequest, "a decision is upheld or dismissed")
	}
	return c.take(ctx, s, subject.Act{})
}
