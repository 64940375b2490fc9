package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"countersign.dev/countersign"
)

type courtCmd struct {
	Init     courtInitCmd     `cmd:"" help:"Make the court's keys and begin its log; print its entry for the directory."`
	Serve    courtServeCmd    `cmd:"" help:"Publish the court's log and status list, and serve its desk, until interrupted."`
	Issue    courtIssueCmd    `cmd:"" help:"Issue a warrant: sign it, register it in the court's witnessed log, write it to a file."`
	Withdraw courtWithdrawCmd `cmd:"" help:"Withdraw a warrant: every gateway refuses it from then on."`
	Review   courtReviewCmd   `cmd:"" help:"Review another judge's warrant; one that is not upheld is withdrawn."`
	List     courtListCmd     `cmd:"" help:"List the court's warrants with their state."`
}

type courtInitCmd struct{ officeFlags }

// Run begins a court.
func (c *courtInitCmd) Run(ctx context.Context, s streams) error {
	entry, err := c.entry(ctx)
	if err != nil {
		return err
	}
	return printJSON(s, entry)
}

func (c *courtInitCmd) entry(ctx context.Context) (*countersign.Court, error) {
	o, vkey, err := c.begin(ctx, "court init", "")
	if err != nil {
		return nil, err
	}
	key, err := o.publicKey()
	if err != nil {
		return nil, err
	}
	return &countersign.Court{
		Name: countersign.CourtName(o.Name), Member: o.Member, Text: countersign.Text{"en": o.Name}, Keys: []string{key},
		Log: countersign.Log{VKey: vkey, URL: o.URL + "/log"},
	}, nil
}

func printJSON(s streams, v any) error {
	enc := json.NewEncoder(s.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// officeDir names the folder of an office.
type officeDir struct {
	Dir string `required:"" help:"Folder of the office." type:"existingdir" placeholder:"DIR"`
}

type courtServeCmd struct{ officeDir }

// Run serves the court.
func (c *courtServeCmd) Run(ctx context.Context, s streams) error {
	o, err := loadOffice(c.Dir)
	if err != nil {
		return err
	}
	return o.serve(ctx, s, openCourt)
}

type courtIssueCmd struct {
	officeDir
	Judge     string        `required:"" help:"The judge's pseudonym at the court." placeholder:"NAME"`
	Subject   string        `required:"" help:"The one person: scheme:VALUE." placeholder:"ID"`
	Client    string        `required:"" help:"The subsystem that may ask." placeholder:"ID"`
	Service   string        `required:"" help:"The service that may be asked." placeholder:"ID"`
	Fields    []string      `required:"" help:"The fields that may leave, separated by commas." placeholder:"F"`
	Purpose   string        `required:"" help:"Purpose code." placeholder:"C"`
	Basis     string        `required:"" help:"Legal basis code." placeholder:"C"`
	Case      string        `help:"Case number to which the warrant is bound." placeholder:"C"`
	Uses      int           `default:"1" help:"How many questions it is good for."`
	From      string        `help:"When it begins, RFC 3339; at once if not given." placeholder:"TIME"`
	Life      time.Duration `default:"72h" help:"How long it is valid."`
	Ground    string        `required:"" help:"The ground in plain words: the person will read it." placeholder:"TEXT"`
	Facts     string        `required:"" help:"File of what the court was shown; the warrant holds its digest." type:"existingfile" placeholder:"FILE"`
	Privilege string        `required:"" help:"What the court found about lawyers, journalists and others with protected sources; none where nobody is." placeholder:"TEXT"`
	Out       string        `help:"File for the warrant; standard output if not given." placeholder:"FILE"`
}

// Run issues one warrant.
func (c *courtIssueCmd) Run(ctx context.Context, s streams) error {
	r, err := c.request()
	if err != nil {
		return err
	}
	w, err := atDesk[issued](ctx, c.Dir, "/issue", r)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "warrant %s until %s\n", w.ID, w.Until.Format(time.RFC3339))
	if c.Out == "" {
		_, err = fmt.Fprintln(s.out, w.Mandate)
		return err
	}
	fmt.Fprintln(s.out, w.ID)
	return os.WriteFile(c.Out, []byte(w.Mandate+"\n"), 0o600)
}

func (c *courtIssueCmd) request() (*issueRequest, error) {
	client, service, err := partiesOf(c.Client, c.Service)
	if err != nil {
		return nil, err
	}
	facts, err := readSmall(c.Facts)
	if err != nil {
		return nil, err
	}
	r := &issueRequest{
		Judge: c.Judge, Subject: c.Subject, Client: client, Service: service, Purpose: countersign.PurposeCode(c.Purpose), Basis: countersign.BasisCode(c.Basis),
		Case: countersign.CaseRef(c.Case), Uses: c.Uses, Life: countersign.Duration(c.Life), Ground: c.Ground, Facts: sha256.Sum256(facts), Privilege: c.Privilege,
	}
	for _, f := range c.Fields {
		r.Fields = append(r.Fields, countersign.FieldPath(strings.TrimSpace(f)))
	}
	if c.From != "" {
		if r.From, err = time.Parse(time.RFC3339, c.From); err != nil {
			return nil, fmt.Errorf("--from: %w", err)
		}
	}
	return r, nil
}

type courtWithdrawCmd struct {
	officeDir
	Warrant string `arg:"" help:"Number of the warrant."`
	Judge   string `required:"" help:"The judge who decides." placeholder:"NAME"`
	Reason  string `required:"" help:"Why, in plain words." placeholder:"TEXT"`
}

// Run withdraws a warrant.
func (c *courtWithdrawCmd) Run(ctx context.Context, s streams) error {
	w, err := atDesk[courtWarrant](ctx, c.Dir, "/withdraw", warrantAct{ID: countersign.MandateID(c.Warrant), Judge: c.Judge, Reason: c.Reason})
	if err != nil {
		return err
	}
	return printJSON(s, w)
}

type courtReviewCmd struct {
	officeDir
	Warrant string `arg:"" help:"Number of the warrant."`
	Judge   string `required:"" help:"The judge who reviews: not the one who issued it." placeholder:"NAME"`
	Finding string `required:"" enum:"upheld,quashed" help:"upheld, or quashed, which withdraws it."`
	Reason  string `required:"" help:"Why, in plain words." placeholder:"TEXT"`
}

// Run reviews a warrant.
func (c *courtReviewCmd) Run(ctx context.Context, s streams) error {
	w, err := atDesk[courtWarrant](ctx, c.Dir, "/review", warrantAct{ID: countersign.MandateID(c.Warrant), Judge: c.Judge, Upheld: c.Finding == "upheld", Reason: c.Reason})
	if err != nil {
		return err
	}
	return printJSON(s, w)
}

type courtListCmd struct{ officeDir }

// Run lists warrants.
func (c *courtListCmd) Run(ctx context.Context, s streams) error {
	list, err := atDesk[[]*courtWarrant](ctx, c.Dir, "/list", struct{}{})
	if err != nil {
		return err
	}
	return printJSON(s, list)
}
