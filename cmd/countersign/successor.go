package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/federation/ceremony"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/store"
)

type gatewaySuccessorCmd struct {
	Config string `required:"" help:"YAML configuration; its origin is the successor's, and not that of the log in the store." type:"existingfile" placeholder:"FILE"`
	Why    string `required:"" help:"Why the log ends, for its own record." placeholder:"TEXT"`
}

// Help says when, and what comes next.
func (*gatewaySuccessorCmd) Help() string {
	return "For a stopped gateway whose newest store is lost for good, so that it refuses to work: it ends the log where its witnesses have seen it last, keeps what is left of it beside the store (ended-1.db and so on), " +
		"and begins a log under the new origin of the configuration. Nothing of this ever happens by itself. The entry that it prints goes to the governing bodies (directory successor); the gateway takes records once the " +
		"directory announces it, and questions six minutes after it began. Records, receipts and proofs of the ended log are served as before. The same command again prints the entry again."
}

// Run ends a log and begins its successor, or prints the entry of one that has begun.
func (c *gatewaySuccessorCmd) Run(ctx context.Context, s streams) error {
	conf, err := loadGatewayConfig(c.Config)
	if err != nil {
		return err
	}
	now := clock.Default()
	directory, err := openDirectory(conf.path(conf.Fed.Root), conf.Fed.URL, filepath.Join(conf.path(conf.Data), "directory"), now, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	pollErr := directory.Poll(ctx)
	view, err := directory.Current()
	if err != nil {
		return errors.Join(err, pollErr)
	}
	entry, err := succeed(ctx, conf.logParts(), view, now, c.Why)
	if err != nil {
		return err
	}
	return printJSON(s, entry)
}

// succeed ends the log of a folder and begins its successor under parts.origin. Each step that a crash has left undone is done by the next call.
func succeed(ctx context.Context, parts logParts, view *federation.View, now clock.Clock, why string) (*countersign.Log, error) {
	if _, err := os.Stat(parts.file()); err == nil {
		entry, done, err := begun(ctx, parts, view)
		if err != nil || done {
			return entry, err
		}
		ended, err := store.EndedStores(parts.data)
		if err != nil {
			return nil, err
		}
		if err := store.Retire(ctx, parts.file(), store.EndedStore(parts.data, len(ended)+1)); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	ended, err := store.EndedStores(parts.data)
	if err != nil {
		return nil, err
	}
	if len(ended) == 0 {
		return nil, countersign.Refuse(countersign.CodeStore, "in %s there is no store of a log, not even an old one: put the newest copy back (countersign restore)", parts.data)
	}
	last := ended[len(ended)-1]
	before, err := endOf(ctx, last, len(ended), view, now.Now())
	if err != nil {
		return nil, err
	}
	if err := beginSuccessor(ctx, parts, last, *before, now, why); err != nil {
		return nil, err
	}
	entry, _, err := begun(ctx, parts, view)
	return entry, err
}

// begun gives the directory's entry of the log in the store where it is the configured one already; done is false where it is the one to be ended, which
// must be known to the directory and to enough witnesses: what is ended here is ended for everybody.
func begun(ctx context.Context, parts logParts, view *federation.View) (entry *countersign.Log, done bool, err error) {
	s, err := store.OpenSQLiteReader(ctx, parts.file())
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	origin, vkey, err := ledger.Identity(ctx, s)
	if errors.Is(err, ledger.ErrNotFound) {
		// A crash left it without a log: the one before is ended already.
		return nil, false, countersign.Refuse(countersign.CodeStore, "the store %s holds no log: remove it, and run this again", parts.file())
	}
	if err != nil {
		return nil, false, err
	}
	before, err := ledger.Predecessor(ctx, s)
	if err != nil {
		return nil, false, err
	}
	switch {
	case origin != parts.origin:
		if _, known := view.LogByOrigin(origin); !known {
			return nil, false, countersign.Refuse(countersign.CodeStore, "the directory does not know the log %s of the store: begin the gateway's own instead (gateway init)", origin)
		}
		own, err := ledger.Newest(ctx, s)
		if err != nil {
			return nil, false, err
		}
		_, err = ledger.WitnessedHead(ctx, witnessClient(), []byte(view.PolicyText()), vkey, own)
		return nil, false, err
	case before == nil:
		return nil, false, countersign.Refuse(countersign.CodeBadRequest, "the configuration's origin %s is that of the log in the store: give the successor one of its own, for instance %s/2, and run this again", origin, origin)
	}
	l, ok := view.LogByOrigin(logName(before.VKey))
	if !ok {
		return nil, false, countersign.Refuse(countersign.CodeStore, "the directory does not know the log %s that this one takes over from", logName(before.VKey))
	}
	return &countersign.Log{VKey: vkey, URL: presentURL(view, l), Before: []countersign.EndedLog{*before}}, true, nil
}

// presentURL is the address of the owner's present log.
func presentURL(view *federation.View, l *federation.Log) string {
	for _, g := range view.Gateways(l.Owner) {
		if g.Name == l.Gateway {
			return g.Log.URL
		}
	}
	return l.URL
}

func logName(vkey string) countersign.LogOrigin {
	name, _, _ := strings.Cut(vkey, "+")
	return countersign.LogOrigin(name)
}

// endOf asks the witnesses where a log has ended.
func endOf(ctx context.Context, file string, number int, view *federation.View, now time.Time) (_ *countersign.EndedLog, err error) {
	s, err := store.OpenSQLiteReader(ctx, file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	origin, vkey, err := ledger.Identity(ctx, s)
	if err != nil {
		return nil, err
	}
	l, known := view.LogByOrigin(origin)
	if !known || l.VKey != vkey {
		return nil, countersign.Refuse(countersign.CodeStore, "the directory does not know the log %s of the store %s", origin, file)
	}
	own, err := ledger.Newest(ctx, s)
	if err != nil {
		return nil, err
	}
	head, err := ledger.WitnessedHead(ctx, witnessClient(), []byte(view.PolicyText()), vkey, own)
	if err != nil {
		return nil, err
	}
	return &countersign.EndedLog{VKey: vkey, URL: strings.TrimRight(presentURL(view, l), "/") + ledger.EndedPath(number), Checkpoint: string(head), From: now.UTC().Truncate(time.Second)}, nil
}

func witnessClient() *http.Client {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// beginSuccessor makes the successor's store beside its place and puts it there whole: a crash leaves none, and never a second one.
func beginSuccessor(ctx context.Context, parts logParts, last string, before countersign.EndedLog, now clock.Clock, why string) (err error) {
	next := parts.file() + ".beginning"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s, err := store.OpenSQLite(ctx, next, store.Options{Create: true})
	if err != nil {
		return err
	}
	conf, err := parts.config(s, now, nil)
	if err == nil {
		err = ledger.BeginSuccessor(ctx, conf, before, why)
	}
	if err == nil {
		err = s.CarryOver(ctx, last)
	}
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	return store.Retire(ctx, next, parts.file())
}

// endedLogs opens the stores of the logs that a folder's log has taken over from.
func endedLogs(ctx context.Context, parts logParts) (out []ledger.Ended, closeAll func() error, err error) {
	var opened []*store.SQLite
	closeAll = func() error {
		var errs []error
		for _, s := range opened {
			errs = append(errs, s.Close())
		}
		return errors.Join(errs...)
	}
	files, err := store.EndedStores(parts.data)
	if err != nil {
		return nil, nil, err
	}
	for _, file := range files {
		s, err := store.OpenSQLiteReader(ctx, file)
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		opened = append(opened, s)
		origin, _, err := ledger.Identity(ctx, s)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("the ended log in %s: %w", file, err), closeAll())
		}
		out = append(out, ledger.Ended{Store: s, Origin: origin})
	}
	return out, closeAll, nil
}

type directorySuccessorCmd struct {
	stageFlags
	Entry string `required:"" help:"What gateway successor printed." type:"existingfile" placeholder:"FILE"`
}

// Help says what the bodies should look at.
func (*directorySuccessorCmd) Help() string {
	return "Announces that a gateway's log has ended and which one takes over. The report tells where it ended: size and root, which each body compares with what it, or a monitor or witness that it trusts, has seen of that log. " +
		"Nothing waits: until it is published the gateway takes no records."
}

// Run stages the announcement.
func (c *directorySuccessorCmd) Run(s streams) error {
	text, err := readSmall(c.Entry)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var entry countersign.Log
	if err := dec.Decode(&entry); err != nil {
		return countersign.RefuseBecause(countersign.CodeBadRequest, err, "the entry %s cannot be read: give what gateway successor printed", c.Entry)
	}
	if _, err := note.NewVerifier(entry.VKey); err != nil {
		return countersign.RefuseBecause(countersign.CodeBadRequest, err, "the entry's vkey cannot be read: give what gateway successor printed")
	}
	return c.stage(s, func(f federation.Folder, o ceremony.Options, now time.Time) (*ceremony.Report, error) {
		return ceremony.Successor(f, entry, o, now)
	})
}
