package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/ledger/witness"
	"countersign.dev/countersign/internal/store"
)

type fsckCmd struct {
	Dir        string   `arg:"" help:"Folder of a gateway, of its data, of a witness, or one above several of them." type:"existingdir"`
	Config     string   `help:"The gateway's configuration: names log and keys. Without it, a gateway.yaml beside the data is taken." type:"existingfile" placeholder:"FILE"`
	Checkpoint []string `help:"A checkpoint of the log that somebody else holds (a witness, a monitor): the store must reach it." type:"existingfile" placeholder:"FILE"`
	ReadOnly   bool     `help:"Change nothing; what could be repaired counts as broken."`
	JSON       bool     `help:"Print the result as one JSON object."`
}

// fsckResult is what fsck --json prints.
type fsckResult struct {
	Status    string       `json:"status"` // clean, repaired or broken
	Stores    []*fsckStore `json:"stores"`
	Witnesses []*fsckState `json:"witnesses"`
}

type fsckStore struct {
	File    string                `json:"file"`
	Origin  countersign.LogOrigin `json:"origin,omitempty"`
	Keys    bool                  `json:"keys"`    // records were opened and compared with their commitments
	Running bool                  `json:"running"` // another process uses the store: nothing is repaired
	*ledger.Report
}

type fsckState struct {
	Folder string `json:"folder"`
	*witness.StateReport
}

// Exit statuses of fsck.
const (
	fsckClean    = 0
	fsckRepaired = 1
	fsckBroken   = 2
)

// Run checks every store and every witness's state below the folder. Exit status: 0 clean, 1 repaired, 2 broken.
func (c *fsckCmd) Run(ctx context.Context, s streams) error {
	found, err := c.find()
	if err != nil {
		fmt.Fprintf(s.err, "countersign fsck: %v\n", err)
		return exit(fsckBroken)
	}
	result := &fsckResult{Status: "clean", Stores: []*fsckStore{}, Witnesses: []*fsckState{}}
	held, err := c.held()
	if err != nil {
		fmt.Fprintf(s.err, "countersign fsck: %v\n", err)
		return exit(fsckBroken)
	}
	// Witnesses first: what they hold, the stores beside them must reach.
	for _, dir := range found.witnesses {
		state := c.witness(dir)
		result.Witnesses = append(result.Witnesses, state)
		for _, text := range state.Heads {
			held = append(held, ledger.Held{By: "the witness in " + dir, Note: text})
		}
	}
	for _, at := range found.stores {
		if isEnded(at.file) { // where it ended is the directory's to tell: what others hold may lie beyond what is left
			result.Stores = append(result.Stores, c.store(ctx, at, nil))
			continue
		}
		result.Stores = append(result.Stores, c.store(ctx, at, held))
	}
	status := result.judge()
	if c.JSON {
		if err := json.NewEncoder(s.out).Encode(result); err != nil {
			return err
		}
	} else {
		result.tell(s)
	}
	if status != fsckClean {
		return exit(status)
	}
	return nil
}

func (r *fsckResult) judge() int {
	status := fsckClean
	see := func(repaired bool) {
		if !repaired {
			status = fsckBroken
		}
		status = max(status, fsckRepaired)
	}
	for _, st := range r.Stores {
		for _, p := range st.Problems {
			see(p.Repaired)
		}
		for _, m := range st.Overdue {
			if m.Late {
				see(false)
			}
		}
	}
	for _, w := range r.Witnesses {
		for _, p := range w.Problems {
			see(p.Repaired)
		}
	}
	r.Status = []string{"clean", "repaired", "broken"}[status]
	return status
}

func (r *fsckResult) tell(s streams) {
	line := func(where, what string, derived, repaired bool) {
		switch {
		case repaired:
			what += " (repaired)"
		case derived:
			what += " (can be repaired: stop the process that uses the store, and run fsck again)"
		}
		fmt.Fprintf(s.out, "  %s: %s\n", where, what)
	}
	for _, st := range r.Stores {
		fmt.Fprintf(s.out, "%s: %s\n", st.File, st.Origin)
		fmt.Fprintf(s.out, "  %d leaves, %d records opened, %d destroyed, %d tiles, %d checkpoints, %d reservations, %d open intents\n",
			st.Leaves, st.Records, st.Destroyed, st.Tiles, st.Checkpoints, st.Reservations, st.Intents)
		if !st.Keys {
			fmt.Fprintln(s.out, "  records were not opened: no keys (--config)")
		}
		for _, p := range st.Problems {
			line(p.Where, p.What, p.Derived, p.Repaired)
		}
		for _, m := range st.Overdue {
			line("month "+m.Month.String(), fmt.Sprintf("it is over, and %d rows from leaf %d on are not destroyed: the gateway does it when it runs, and says in its log what keeps it from it", m.Rows, m.First), false, false)
		}
	}
	for _, w := range r.Witnesses {
		fmt.Fprintf(s.out, "%s: a witness of %d logs\n", w.Folder, len(w.Heads))
		for _, name := range w.Evidence {
			fmt.Fprintf(s.out, "  %s: evidence against a log\n", name)
		}
		for _, p := range w.Problems {
			line(p.File, p.What, p.Derived, p.Repaired)
		}
	}
	fmt.Fprintln(s.out, r.Status)
}

// fsckFound are the places below a folder that fsck looks at.
type fsckFound struct {
	stores    []fsckPlace
	witnesses []string
}

// fsckPlace is one store, and what is known of it besides.
type fsckPlace struct {
	file  string
	parts *logParts // nil without a configuration
}

const storeFile = "store.db"

// find looks for stores and witnesses, and for the configuration that belongs to each store.
func (c *fsckCmd) find() (*fsckFound, error) {
	found := &fsckFound{}
	configs := map[string]*logParts{} // by store file
	note := func(config string) error {
		conf, err := loadGatewayConfig(config)
		if err != nil {
			return err
		}
		parts := conf.logParts()
		configs[absolute(parts.file())] = &parts
		return nil
	}
	switch {
	case c.Config != "":
		if err := note(c.Config); err != nil {
			return nil, err
		}
	default:
		beside := filepath.Join(filepath.Dir(absolute(c.Dir)), "gateway.yaml")
		if _, err := os.Stat(beside); err == nil {
			if err := note(beside); err != nil {
				return nil, err
			}
		}
	}
	err := filepath.WalkDir(c.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch {
		case e.Name() == "gateway.yaml" && c.Config == "":
			return note(path)
		case (e.Name() == storeFile || isEnded(e.Name())) && e.Type().IsRegular():
			found.stores = append(found.stores, fsckPlace{file: path})
		case e.Name() == "witness.key":
			found.witnesses = append(found.witnesses, filepath.Dir(path))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for stores: %w", err)
	}
	for i := range found.stores { // an ended log's keys are those of the log that took over
		if isEnded(found.stores[i].file) {
			found.stores[i].parts = configs[filepath.Join(filepath.Dir(absolute(found.stores[i].file)), storeFile)]
		}
	}
	for file, parts := range configs {
		if i := slices.IndexFunc(found.stores, func(p fsckPlace) bool { return absolute(p.file) == file }); i >= 0 {
			found.stores[i].parts = parts
			continue
		}
		if rel, err := filepath.Rel(absolute(c.Dir), file); err == nil && !strings.HasPrefix(rel, "..") || c.Config != "" {
			found.stores = append(found.stores, fsckPlace{file: parts.file(), parts: parts}) // named, and not there: that is a finding
		}
	}
	if len(found.stores) == 0 && len(found.witnesses) == 0 {
		return nil, countersign.Refuse(countersign.CodeStore, "below %s there is neither a store (%s) nor a witness (witness.key)", c.Dir, storeFile)
	}
	slices.SortFunc(found.stores, func(a, b fsckPlace) int { return strings.Compare(a.file, b.file) })
	return found, nil
}

// isEnded reports that a file is what is left of a log that another has taken over from.
func isEnded(name string) bool {
	ok, err := filepath.Match("ended-*.db", filepath.Base(name))
	return ok && err == nil
}

func absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}

func (c *fsckCmd) held() (held []ledger.Held, err error) {
	for _, file := range c.Checkpoint {
		text, err := readSmall(file)
		if err != nil {
			return nil, err
		}
		held = append(held, ledger.Held{By: file, Note: text})
	}
	return held, nil
}

// store checks one store. What keeps the check from being made is a finding too: such a store cannot be used.
func (c *fsckCmd) store(ctx context.Context, at fsckPlace, held []ledger.Held) *fsckStore {
	out := &fsckStore{File: at.file, Keys: at.parts != nil, Report: &ledger.Report{}}
	unusable := func(where string, err error) *fsckStore {
		what := countersign.MessageOf(err)
		if what == "" {
			what = err.Error()
		}
		out.Problems = append(out.Problems, ledger.Problem{Where: where, What: what})
		return out
	}
	db, err := c.open(ctx, at.file, out)
	if err != nil {
		return unusable("store", err)
	}
	problems, err := c.file(ctx, db, !out.Running && !c.ReadOnly)
	if err == nil {
		err = c.leaves(ctx, db, at, out, held)
	}
	out.Problems = append(problems, out.Problems...)
	if err = errors.Join(err, db.Close()); err != nil {
		return unusable("store", err)
	}
	return out
}

// open opens a store for repair, or for reading alone where a process runs on it.
func (c *fsckCmd) open(ctx context.Context, file string, out *fsckStore) (*store.SQLite, error) {
	if isEnded(file) {
		out.Running = true // by whoever serves it; it is never written
	}
	if c.ReadOnly || out.Running {
		return store.OpenSQLiteReader(ctx, file)
	}
	db, err := store.OpenSQLite(ctx, file, store.Options{})
	if err == nil {
		return db, nil
	}
	if reader, second := store.OpenSQLiteReader(ctx, file); second == nil {
		out.Running = true
		return reader, nil
	}
	return nil, err
}

// file checks the database itself.
func (c *fsckCmd) file(ctx context.Context, db *store.SQLite, repair bool) (problems []ledger.Problem, err error) {
	wrong, err := db.Integrity(ctx)
	if err != nil || len(wrong) == 0 {
		return nil, err
	}
	left := wrong
	if repair {
		// An index follows from its table. Whatever else is wrong stays wrong, and is named.
		if err := db.Reindex(ctx); err == nil {
			if left, err = db.Integrity(ctx); err != nil {
				return nil, err
			}
		}
	}
	for _, w := range wrong {
		index := strings.Contains(w, "index")
		problems = append(problems, ledger.Problem{Where: "database", What: w, Derived: index, Repaired: index && len(left) == 0})
	}
	return problems, nil
}

// leaves checks what the store holds.
func (c *fsckCmd) leaves(ctx context.Context, db *store.SQLite, at fsckPlace, out *fsckStore, held []ledger.Held) error {
	origin, vkey, err := ledger.Identity(ctx, db)
	if errors.Is(err, ledger.ErrNotFound) {
		return countersign.Refuse(countersign.CodeStore, "it holds no log")
	}
	if err != nil {
		return err
	}
	conf := ledger.CheckConfig{Store: db, Origin: origin, VKey: vkey, Repair: !out.Running && !c.ReadOnly, Held: held,
		Claims: &ledger.Claims{Reader: db, Now: clock.Default().Now(), Window: exchange.ReplayWindow}}
	if at.parts != nil {
		// Whose log it is, is the operator's word, not the store's.
		own, err := at.parts.config(db, clock.Default(), nil)
		if err != nil {
			return err
		}
		if conf.VKey, err = verifierKeyOf(at.parts.origin, own.Key); err != nil {
			return err
		}
		conf.Origin, conf.MonthKeys = at.parts.origin, own.MonthKeys
		if isEnded(at.file) { // signed by the same key under the name that it had
			conf.Origin = origin
			if conf.VKey, err = verifierKeyOf(origin, own.Key); err != nil {
				return err
			}
		}
	}
	out.Origin = conf.Origin
	report, err := ledger.Check(ctx, conf)
	if err != nil {
		return err
	}
	out.Report = report
	return nil
}

// witness checks one witness's folder.
func (c *fsckCmd) witness(dir string) *fsckState {
	out := &fsckState{Folder: dir, StateReport: &witness.StateReport{}}
	report, err := c.state(dir)
	if err != nil {
		out.Problems = append(out.Problems, witness.StateProblem{File: dir, What: err.Error()})
		return out
	}
	out.StateReport = report
	return out
}

func (c *fsckCmd) state(dir string) (*witness.StateReport, error) {
	key, err := keys.Load(filepath.Join(dir, "witness.key"))
	if err != nil {
		return nil, err
	}
	name, err := readLine(filepath.Join(dir, "name"))
	if err != nil {
		return nil, err
	}
	v, err := witnessVerifier(name, key)
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(dir, "state")
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return &witness.StateReport{}, nil // it has not run yet
	}
	report, err := witness.CheckState(folder, v, !c.ReadOnly)
	if countersign.CodeOf(err) == countersign.CodeStore { // it runs
		return witness.CheckState(folder, v, false)
	}
	return report, err
}

func witnessVerifier(name string, key keys.Signer) (note.Verifier, error) {
	vkey, err := witness.VerifierKey(name, ed25519Public(key))
	if err != nil {
		return nil, err
	}
	return witness.Verifier(vkey)
}

// ed25519Public is a key's public half; empty where it is of another kind, which the writers of verifier keys refuse.
func ed25519Public(key keys.Signer) ed25519.PublicKey {
	pub, _ := key.Public().(ed25519.PublicKey)
	return pub
}

func verifierKeyOf(origin countersign.LogOrigin, key keys.Signer) (string, error) {
	return ledger.VerifierKey(origin, ed25519Public(key))
}
