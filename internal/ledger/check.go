package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger/tiles"
)

// CheckConfig is what a check needs: the log's own words are read, nothing is started.
type CheckConfig struct {
	Store     Store
	Origin    countersign.LogOrigin
	VKey      string // the log's verifier key
	MonthKeys string // empty: records are not opened
	Repair    bool   // write derived rows (tiles, reservations of recorded exchanges) again where they are missing or wrong
	Held      []Held // what others hold of the log; may be empty
	Claims    *Claims
}

// Problem is something that a check found. What is not derived is named and never touched.
type Problem struct {
	Where    string `json:"where"` // for instance "leaf 17", "tile tile/8/0/000"
	What     string `json:"what"`
	Derived  bool   `json:"derived"` // can be made again from the leaves
	Repaired bool   `json:"repaired"`
}

// Report is a check's result.
type Report struct {
	Leaves       int       `json:"leaves"`
	Records      int       `json:"records"` // opened
	Destroyed    int       `json:"destroyed"`
	Tiles        int       `json:"tiles"`
	Checkpoints  int       `json:"checkpoints"`
	Reservations int       `json:"reservations"`
	Intents      int       `json:"intents"` // open
	Problems     []Problem `json:"problems"`

	Overdue []OverdueMonth `json:"overdue,omitempty"` // months that are over and wait for the gateway to destroy their records
}

// Broken reports whether something is wrong that could not be, or was not, repaired.
func (r *Report) Broken() bool {
	for _, p := range r.Problems {
		if !p.Repaired {
			return true
		}
	}
	return false
}

// maxProblems bounds a report: a store that is broken everywhere says so soon enough.
const maxProblems = 1000

type checker struct {
	cfg    CheckConfig
	log    *Log
	report *Report
	check  note.Verifier
	known  map[uint64][]CheckpointRow
	tiles  []TileRow // to be written again

	predecessor *countersign.EndedLog

	held    []heldRoot
	closed  map[countersign.ExchangeID]uint64    // consumer's exchanges, by the leaf that closed them
	recent  map[countersign.ExchangeID]*EntryRow // provider's, young enough to be replayed
	missing []*Claim
	stale   []countersign.ExchangeID

	months   map[Month]*ending
	returned []Month // whose keys are here, though they were destroyed
}

// Check reads a store whole: every leaf in order, every full tile against them, every kept checkpoint against the root at its size and
// the log's key, every record against its leaf's commitment. An error means that the check could not be finished.
func Check(ctx context.Context, cfg CheckConfig) (*Report, error) {
	check, err := note.NewVerifier(cfg.VKey)
	if err != nil || check.Name() != string(cfg.Origin) {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the log's verifier key is not one of %q", cfg.Origin)
	}
	c := &checker{cfg: cfg, report: &Report{}, check: check, known: map[uint64][]CheckpointRow{},
		closed: map[countersign.ExchangeID]uint64{}, recent: map[countersign.ExchangeID]*EntryRow{},
		log: &Log{store: cfg.Store, origin: cfg.Origin, vkey: cfg.VKey, check: check, vault: newVault(cfg.MonthKeys)}}
	c.openHeld()
	if err := c.settings(ctx); err != nil {
		return nil, err
	}
	if err := c.checkpoints(ctx); err != nil {
		return nil, err
	}
	if err := c.leaves(ctx); err != nil {
		return nil, err
	}
	c.expired()
	if err := c.claims(ctx); err != nil {
		return nil, err
	}
	if cfg.Repair {
		if err := c.repair(ctx); err != nil {
			return nil, err
		}
	}
	return c.report, nil
}

func (c *checker) problem(derived bool, where, format string, args ...any) {
	if len(c.report.Problems) < maxProblems {
		c.report.Problems = append(c.report.Problems, Problem{Where: where, What: fmt.Sprintf(format, args...), Derived: derived})
	}
}

func (c *checker) settings(ctx context.Context) error {
	for name, want := range map[string]string{metaOrigin: string(c.cfg.Origin), metaKey: c.cfg.VKey} {
		got, err := c.cfg.Store.Meta(ctx, name)
		switch {
		case errors.Is(err, ErrNotFound):
			c.problem(false, "setting "+name, "it is missing")
		case err != nil:
			return err
		case string(got) != want:
			c.problem(false, "setting "+name, "it is %q, not %q", got, want)
		}
	}
	var err error
	if c.predecessor, err = Predecessor(ctx, c.cfg.Store); countersign.CodeOf(err) == countersign.CodeStore {
		c.problem(false, "setting "+metaPredecessor, "%s", countersign.MessageOf(err))
		return nil
	}
	return err
}

func (c *checker) checkpoints(ctx context.Context) error {
	for _, kind := range []CheckpointKind{CheckpointSigned, CheckpointCosigned, CheckpointPublic} {
		for size := uint64(0); ; {
			row, err := c.cfg.Store.CheckpointAtLeast(ctx, kind, size)
			if errors.Is(err, ErrNotFound) {
				break
			}
			if err != nil {
				return err
			}
			c.known[row.Size] = append(c.known[row.Size], row)
			c.report.Checkpoints++
			size = row.Size + 1
		}
	}
	return nil
}

// leaves walks through the log once, growing its tree as it was grown.
func (c *checker) leaves(ctx context.Context) error {
	var edge tiles.Edge
	size, err := c.cfg.Store.Size(ctx)
	if err != nil {
		return err
	}
	for edge.Size() < size {
		// Towards the newest, a page of rows at a time.
		before := min(edge.Size()+MaxPage, size)
		rows, err := c.cfg.Store.EntriesBefore(ctx, before, int(before-edge.Size())) //nolint:gosec // at most MaxPage
		if err != nil {
			return err
		}
		if uint64(len(rows)) != before-edge.Size() {
			c.problem(false, fmt.Sprintf("leaf %d", edge.Size()), "of the %d leaves from here on, %d are in the store", before-edge.Size(), len(rows))
			return nil
		}
		for i := len(rows) - 1; i >= 0; i-- {
			c.entry(rows[i])
			next, full := edge.Extend([]tlog.Hash{tlog.RecordHash(rows[i].Leaf)})
			edge = next
			for _, t := range full {
				if err := c.tile(ctx, t); err != nil {
					return err
				}
			}
			c.roots(edge)
		}
	}
	c.heldBeyond(edge.Size())
	for at, rows := range c.known {
		if at > size {
			c.problem(false, fmt.Sprintf("checkpoint %d", at), "the log has signed %d leaves (kind %d), but the store has %d", at, rows[0].Kind, size)
		}
	}
	return nil
}

func (c *checker) tile(ctx context.Context, t tiles.Tile) error {
	c.report.Tiles++
	got, err := c.cfg.Store.Tile(ctx, t.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		c.problem(true, "tile "+t.ID.String(), "it is missing")
	case err != nil:
		return err
	case !bytes.Equal(got, t.Hashes):
		c.problem(true, "tile "+t.ID.String(), "it does not follow from its leaves")
	default:
		return nil
	}
	c.tiles = append(c.tiles, TileRow(t))
	return nil
}

func (c *checker) roots(edge tiles.Edge) {
	rows := c.known[edge.Size()]
	if len(rows) == 0 && !slices.ContainsFunc(c.held, func(h heldRoot) bool { return h.size == edge.Size() }) {
		return
	}
	where := fmt.Sprintf("checkpoint %d", edge.Size())
	root, err := edge.Hash()
	if err != nil {
		c.problem(false, where, "its root cannot be computed")
		return
	}
	c.heldAt(edge.Size(), root[:])
	for _, row := range rows {
		cp, err := c.log.openCheckpoint(row.Note)
		switch {
		case err != nil:
			c.problem(false, where, "it is not signed by the log")
		case cp.Size != edge.Size() || !bytes.Equal(cp.Hash, root[:]):
			c.problem(false, where, "its root is not that of the leaves: leaves were changed after they were signed")
		}
	}
}

// entry checks one row by itself.
func (c *checker) entry(row *EntryRow) {
	c.report.Leaves++
	where := fmt.Sprintf("leaf %d", row.Index)
	leaf, err := countersign.ParseLeaf(row.Leaf)
	if err != nil {
		c.problem(false, where, "it is not a leaf: %s", countersign.MessageOf(err))
		return
	}
	if row.Index == 0 {
		c.inception(row)
	}
	c.owed(row)
	c.ends(row, leaf)
	if row.Expires == 0 || c.cfg.MonthKeys == "" {
		return
	}
	stored, err := c.log.open(row)
	switch {
	case err != nil:
		c.problem(false, fmt.Sprintf("record %d", row.Index), "%s", countersign.MessageOf(err))
	case stored.Destroyed:
		c.report.Destroyed++
		if c.cfg.Claims != nil && len(row.Record) > 0 && row.Expires.End().After(c.cfg.Claims.Now) {
			c.problem(false, fmt.Sprintf("record %d", row.Index), "the key of %s is missing, and that month is not over: restore the folder of expiry keys", row.Expires)
		}
	default:
		c.report.Records++
		r := stored.Record
		if len(r.Statement) > 0 && !r.Salt.Opens(leaf.Commitment, r.Statement) {
			c.problem(false, fmt.Sprintf("record %d", row.Index), "its statement does not open its leaf's commitment")
		}
	}
}
