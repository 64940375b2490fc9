package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/mandate"
)

type policyCmd struct {
	Check   policyCheckCmd   `cmd:"" help:"Check a directory document: its sense, and that its rules compile. Every problem at once."`
	Explain policyExplainCmd `cmd:"" help:"Say why a question would be allowed or refused, all reasons at once. Exit status: 0 allowed, 1 refused."`
	Diff    policyDiffCmd    `cmd:"" help:"Say in words what a new document changes, for whom, and from when."`
}

// lawFlags say which directory is meant: a document in a file, or the signed one as it is served.
type lawFlags struct {
	Document  string `help:"JSON of a directory document." type:"existingfile" placeholder:"FILE" xor:"law"`
	Directory string `help:"Address of the signed directory." placeholder:"URL" xor:"law"`
	Root      string `help:"The directory's root that is trusted; due with --directory." type:"existingfile" placeholder:"FILE"`
}

func (l *lawFlags) load(ctx context.Context, s streams) (*countersign.Directory, error) {
	if l.Document != "" {
		return readDocument(l.Document)
	}
	if l.Directory == "" || l.Root == "" {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "give --document FILE, or --directory URL with --root FILE")
	}
	view, err := viewOnce(ctx, l.Root, l.Directory, clock.Default(), slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return nil, err
	}
	return view.Document(), nil
}

type policyCheckCmd struct{ lawFlags }

// Run checks.
func (c *policyCheckCmd) Run(ctx context.Context, s streams) error {
	d, err := c.load(ctx, s)
	if err != nil {
		return err
	}
	problems := mandate.Check(d)
	if err := federation.Check(d); err != nil {
		problems = append([]error{err}, problems...)
	}
	for _, p := range problems {
		fmt.Fprintln(s.out, countersign.MessageOf(p))
	}
	if len(problems) > 0 {
		return exit(exitFailed)
	}
	_, err = fmt.Fprintf(s.out, "version %d: %d purposes, %d cells, %d services, %d rules: no problem\n", d.Version, len(d.Purposes), len(d.Matrix), len(d.Services), len(d.Rules))
	return err
}

// questionFlags describe a question that nobody has asked yet. It names no person: the answer is the same for everybody.
type questionFlags struct {
	lawFlags
	Client    string                `required:"" help:"The asking subsystem." placeholder:"ID"`
	Service   string                `required:"" help:"The service." placeholder:"ID"`
	Method    string                `default:"GET" help:"HTTP method."`
	Purpose   string                `required:"" help:"Purpose code." placeholder:"C"`
	Basis     string                `required:"" help:"Legal basis code." placeholder:"C"`
	Case      string                `help:"Case number." placeholder:"C"`
	Assurance countersign.Assurance `default:"asserted" help:"How the official is known: automated, asserted or verified."`
	Suppose   string                `default:"none" enum:"none,relation,consent,warrant,emergency" help:"Suppose that a mandate of this kind stands: ${enum}."`
}

// rehearse judges the question under the directory. A person of the service's scheme stands for whoever may be asked about.
func (q *questionFlags) rehearse(ctx context.Context, s streams) (*countersign.Directory, *mandate.Question, *mandate.Rehearsal, error) {
	d, err := q.load(ctx, s)
	if err != nil {
		return nil, nil, nil, err
	}
	policy, err := mandate.Compile(d)
	if err != nil {
		return nil, nil, nil, err
	}
	client, service, err := partiesOf(q.Client, q.Service)
	if err != nil {
		return nil, nil, nil, err
	}
	var kind countersign.MandateKind
	if err := kind.UnmarshalText([]byte(q.Suppose)); err != nil {
		return nil, nil, nil, err
	}
	question := &mandate.Question{
		Consumer: client, Service: service, Method: strings.ToUpper(q.Method), Purpose: countersign.PurposeCode(q.Purpose), Basis: countersign.BasisCode(q.Basis),
		Case: countersign.CaseRef(q.Case), Official: countersign.Official{Assurance: q.Assurance}, At: clock.Default().Now(),
	}
	if q.Assurance > countersign.AssuranceAutomated {
		question.Official.Pseudonym = "supposed"
	}
	for i := range d.Services {
		if x := &d.Services[i]; x.ID == service && x.Subject.From != countersign.SubjectNone {
			question.Subject = somebody(d, x.Subject.Scheme)
		}
	}
	r := policy.Rehearse(question, kind)
	return d, question, &r, nil
}

// somebody finds a spelling that a scheme accepts, by trying short ones. Where none fits, nobody stands there, and the explanation says so.
func somebody(d *countersign.Directory, name countersign.SchemeName) countersign.SubjectID {
	for i := range d.Schemes {
		if d.Schemes[i].Name != name {
			continue
		}
		for n := 1; n <= 32; n++ {
			for _, unit := range []string{"1", "A", "a"} {
				if id, err := d.Schemes[i].Normalise(strings.Repeat(unit, n)); err == nil {
					return id
				}
			}
		}
	}
	return countersign.SubjectID{}
}

type policyExplainCmd struct{ questionFlags }

// Run explains.
func (c *policyExplainCmd) Run(ctx context.Context, s streams) error {
	_, _, r, err := c.rehearse(ctx, s)
	if err != nil {
		return err
	}
	for _, line := range r.Lines {
		fmt.Fprintln(s.out, line)
	}
	if !r.Allowed {
		return exit(exitFailed)
	}
	return nil
}

type policyDiffCmd struct {
	Before string `arg:"" help:"The document as it is." type:"existingfile"`
	After  string `arg:"" help:"The document as it is to be." type:"existingfile"`
}

// Run compares.
func (c *policyDiffCmd) Run(s streams) error {
	before, err := readDocument(c.Before)
	if err != nil {
		return err
	}
	after, err := readDocument(c.After)
	if err != nil {
		return err
	}
	changes := mandate.Diff(before, after)
	for _, change := range changes {
		word := "narrows"
		if change.Widens {
			word = "widens "
		}
		fmt.Fprintln(s.out, word, change)
	}
	if len(changes) == 0 {
		fmt.Fprintln(s.out, "nobody may ask for more or less than before")
	}
	return c.restOf(s, before, after)
}

// restOf tells what changes in the document beside who may ask for what: names, sentences, laws, members, keys. Grants, cells and the like stand above
// already, as what they mean.
func (c *policyDiffCmd) restOf(s streams, before, after *countersign.Directory) error {
	told := []federation.ChangeKind{
		federation.ChangeCell, federation.ChangeField, federation.ChangeGrant, federation.ChangeStanding, federation.ChangeProgramme, federation.ChangeRule, federation.ChangeCap,
	}
	for _, x := range federation.Changes(before, after) {
		if !slices.Contains(told, x.Kind) {
			fmt.Fprintln(s.out, "document", x)
		}
	}
	return nil
}
