package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/store"
)

type recordCmd struct {
	Config   string                 `required:"" help:"The gateway's configuration: store and keys are the member's own." type:"existingfile" placeholder:"FILE"`
	Person   string                 `help:"Only entries about this person, scheme:VALUE in canonical spelling." placeholder:"ID"`
	Exchange countersign.ExchangeID `help:"Only this exchange." placeholder:"UUID"`
	Limit    int                    `default:"20" help:"How many entries, newest first."`
	Slots    bool                   `help:"Also the sealed slots that nothing uses, one a minute."`
	JSON     bool                   `help:"One JSON object a line."`
}

// recordLine is one entry as record --json prints it.
type recordLine struct {
	Index     uint64                 `json:"index"`
	Time      time.Time              `json:"time"`
	Leaf      *countersign.Leaf      `json:"leaf"`
	Exchange  string                 `json:"exchange,omitempty"`
	Statement *countersign.Statement `json:"statement,omitempty"`
	Opens     bool                   `json:"opens"` // the statement opens the leaf's commitment
	Reasons   []countersign.Code     `json:"reasons,omitempty"`
	Rules     []string               `json:"rules,omitempty"`
	Destroyed bool                   `json:"destroyed,omitempty"`
}

// Run reads the member's own record. It needs the store and the keys, so it works on the gateway's machine alone, beside the running gateway.
func (c *recordCmd) Run(ctx context.Context, s streams) (err error) {
	conf, err := loadGatewayConfig(c.Config)
	if err != nil {
		return err
	}
	parts := conf.logParts()
	db, err := store.OpenSQLiteReader(ctx, parts.file())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	logConf, err := parts.config(db, clock.Default(), nil)
	if err != nil {
		return err
	}
	log, err := ledger.OpenReader(ctx, logConf)
	if err != nil {
		return err
	}
	stored, err := c.find(ctx, log)
	if err != nil {
		return err
	}
	for _, e := range stored {
		if err := c.print(s, lineOf(e)); err != nil {
			return err
		}
	}
	return nil
}

func (c *recordCmd) find(ctx context.Context, log *ledger.Reader) ([]*ledger.Stored, error) {
	page := ledger.Page{Limit: c.Limit}
	switch {
	case c.Exchange != (countersign.ExchangeID{}):
		return log.ByExchange(ctx, c.Exchange)
	case c.Person != "":
		id, err := countersign.ParseSubjectID(c.Person)
		if err != nil {
			return nil, err
		}
		return log.History(ctx, log.TagsOf(id), page)
	}
	return c.newest(ctx, log, page)
}

// newest lists a log backwards, without the empty slots that would hide the rest of a quiet gateway's record.
func (c *recordCmd) newest(ctx context.Context, log *ledger.Reader, page ledger.Page) (out []*ledger.Stored, err error) {
	for len(out) < c.Limit {
		page.Limit = min(c.Limit, ledger.MaxPage)
		if !c.Slots {
			page.Limit = ledger.MaxPage
		}
		list, err := log.List(ctx, page)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			empty := e.Leaf.Kind == countersign.LeafSealed && e.Record == nil && !e.Destroyed
			if len(out) < c.Limit && (c.Slots || !empty) {
				out = append(out, e)
			}
		}
		if len(list) == 0 || list[len(list)-1].Index == 0 {
			break
		}
		page.Before = list[len(list)-1].Index
	}
	return out, nil
}

func lineOf(e *ledger.Stored) recordLine {
	l := recordLine{Index: e.Index, Time: e.Time.Time(), Leaf: e.Leaf, Destroyed: e.Destroyed}
	if e.Exchange != (countersign.ExchangeID{}) {
		l.Exchange = e.Exchange.String()
	}
	if e.Record == nil {
		return l
	}
	l.Reasons, l.Rules = e.Record.Reasons, e.Record.Rules
	if st, err := countersign.ParseStatement(e.Record.Statement); err == nil {
		l.Statement, l.Opens = st, e.Record.Salt.Opens(e.Leaf.Commitment, e.Record.Statement)
	}
	return l
}

func (c *recordCmd) print(s streams, l recordLine) error {
	if c.JSON {
		return json.NewEncoder(s.out).Encode(l)
	}
	fmt.Fprintf(s.out, "%6d  %s  %s", l.Index, l.Time.Format("2006-01-02 15:04:05"), strings.TrimSpace(fmt.Sprintf("%-9s %s", l.Leaf.Kind, l.Leaf.Outcome)))
	if st := l.Statement; st != nil {
		fmt.Fprintf(s.out, "  %s asked %s", st.Consumer, st.Service)
		if st.Subject != "" {
			fmt.Fprintf(s.out, " about %s", st.Subject)
		}
		if st.Purpose != "" {
			fmt.Fprintf(s.out, " for %s (%s)", st.Purpose, st.Basis)
		}
		reasons := slices.Clone(st.Reasons)
		for _, own := range l.Reasons { // what the member itself found wrong with an answer
			if !slices.Contains(reasons, own) {
				reasons = append(reasons, own)
			}
		}
		if len(reasons) > 0 {
			fmt.Fprintf(s.out, ": %s", listed(reasons))
		}
		fmt.Fprintf(s.out, "  (exchange %s)", l.Exchange)
		if !l.Opens {
			fmt.Fprint(s.out, "  DOES NOT OPEN ITS LEAF")
		}
	}
	_, err := fmt.Fprintln(s.out)
	return err
}

// listed writes a list for people.
func listed[S ~string](list []S) string {
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = string(w)
	}
	return strings.Join(words, ", ")
}

func readSmall(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > 1<<20 {
		return nil, countersign.Refuse(countersign.CodeTooLarge, "the file %s has %d bytes: 1 MiB at most", file, info.Size())
	}
	return os.ReadFile(file)
}
