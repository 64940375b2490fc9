package monitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/transparency-dev/formats/witness"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
)

// Source is one log to be read.
type Source struct {
	Origin countersign.LogOrigin
	VKey   string               // signed-note verifier key
	URL    string               // above /checkpoint and /tile/
	Owner  countersign.MemberID // whose it is; zero where that is not known or it is nobody's: it is then learned from the leaves
	Client *http.Client         // nil for the monitor's own
	Slots  bool                 // a sealed slot is due each minute
	Live   bool                 // it shows at once what is cosigned: the time of reading tells how far it is; otherwise the newest cosignature does
	End    []byte               // the checkpoint with which it ended and another took over; nil for a log that goes on
	Also   []string             // further addresses of the same log, whose checkpoints must be of one history with it
}

// Config is what a monitor needs.
type Config struct {
	Logs    []Source
	Policy  []byte       // C2SP tlog-policy: witnesses and quorum; its log lines are not looked at
	Dir     string       // of the mirrors and the evidence, ours alone
	Client  *http.Client // for logs and witnesses
	Clock   clock.Clock
	Several func(service string) bool // whether one answer of the service may concern several people, of whom one is paired; nil for never

	// RecordLife is how long records may be kept: by it a log's leaves tell what must have been destroyed. Zero where it is not known.
	RecordLife time.Duration
	// Retention is how long the receiver of a service's answers may keep them under a purpose; zero where nothing is owed. Nil where it is not known.
	Retention func(service string, purpose countersign.PurposeCode) time.Duration

	// Receipts are held against their logs.
	Receipts []*countersign.Receipt
	// Patience is how long the other side of an exchange may take.
	Patience time.Duration
	// StaleAfter is the age of the newest cosignature from which on a log is stale: a little over an hour for the public view, and over two
	// minutes for the party view, where a slot each minute must be cosigned within another.
	StaleAfter time.Duration
}

// The ages from which on a healthy log of either view is stale.
const (
	StalePublic = time.Hour + StaleParty
	StaleParty  = time.Minute + countersign.CosigningDeadline
)

// Monitor watches logs. It is for one goroutine.
type Monitor struct {
	cfg       Config
	quorum    witness.Group
	witnesses map[string]note.Verifier // by URL of add-checkpoint
	logs      []*logState
	pairs     *pairing
}

// logState is one log as the monitor has it.
type logState struct {
	cfg      Source
	check    note.Verifier
	key      *countersign.LogKey
	mirror   *mirror
	waiting  map[string]head // seen, and larger than the mirror
	cosigned time.Time       // newest cosignature of what the log showed last
	asOf     time.Time       // until when what it showed last tells everything

	slots       map[countersign.Hour]int
	first, last countersign.Hour
	exchanges   uint64
	sealed      uint64
	foreign     []Finding // leaves that do not belong; they stay
	ends        ends
}

// Open opens the mirrors of every log, and begins those that are not there.
func Open(cfg Config) (*Monitor, error) {
	if cfg.Dir == "" || cfg.Clock == nil || cfg.Client == nil || len(cfg.Logs) == 0 {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the monitor's configuration lacks its folder, clock, client or logs")
	}
	m := &Monitor{cfg: cfg, pairs: &pairing{open: map[pairKey][]*entry{}}}
	var err error
	if m.quorum, err = witness.ParsePolicy(cfg.Policy); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the policy's witnesses cannot be read (C2SP tlog-policy)")
	}
	m.witnesses = m.quorum.Endpoints()
	for _, s := range cfg.Logs {
		l, err := m.openLog(s)
		if err != nil {
			return nil, err
		}
		m.logs = append(m.logs, l)
	}
	return m, nil
}

func (m *Monitor) openLog(s Source) (l *logState, err error) {
	if s.Client == nil {
		s.Client = m.cfg.Client
	}
	s.URL = strings.TrimRight(s.URL, "/")
	l = &logState{cfg: s, slots: map[countersign.Hour]int{}, ends: newEnds()}
	if l.key, err = countersign.ParseLogKey(s.VKey); err != nil {
		return nil, err
	}
	if l.key.Origin != s.Origin {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the key %q is not of the log %q", s.VKey, s.Origin)
	}
	if l.check, err = note.NewVerifier(s.VKey); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the log key %q cannot be read", s.VKey)
	}
	l.mirror, err = openMirror(m.cfg.Dir, s.Origin, l.open, func(index uint64, leaf []byte) error {
		m.take(l, index, leaf)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l, l.loadWaiting()
}

// take looks at a leaf that the log has shown under its signature.
func (m *Monitor) take(l *logState, index uint64, text []byte) {
	leaf, err := countersign.ParseLeaf(text)
	if err != nil {
		if len(l.foreign) < maxFindings {
			l.foreign = append(l.foreign, Finding{Kind: KindMalformed, Log: l.cfg.Origin, Index: &index, What: "it is not a leaf of a version that is known here"})
		}
		return
	}
	if index == 0 || leaf.Hour < l.first {
		l.first = leaf.Hour
	}
	l.last = max(l.last, leaf.Hour)
	l.ends.take(l, index, leaf)
	switch leaf.Kind {
	case countersign.LeafSealed:
		l.slots[leaf.Hour]++
		l.sealed++
	case countersign.LeafExchange, countersign.LeafRelease, countersign.LeafCompletion:
		l.exchanges++
		e := &entry{l, index, leaf, l.asOf}
		l.own(e)
		m.pairs.add(e)
	}
}

// own checks that a leaf speaks for the log's member.
func (l *logState) own(e *entry) {
	consumer, provider, ok := parties(e.leaf)
	if !ok {
		return // a metadata service of no subsystem, or a refusal of a name that is none
	}
	speaker := provider
	if e.leaf.Side == countersign.SideConsumer {
		speaker = consumer
	}
	if l.cfg.Owner.IsZero() {
		l.cfg.Owner = speaker
	}
	if speaker != l.cfg.Owner && len(l.foreign) < maxFindings {
		l.foreign = append(l.foreign, about(KindForeignLeaf, l, e, "it speaks for %s in the log of %s", speaker, l.cfg.Owner))
	}
}

func (m *Monitor) logOf(member countersign.MemberID) *logState {
	i := slices.IndexFunc(m.logs, func(l *logState) bool { return l.cfg.Owner == member && !member.IsZero() })
	if i < 0 {
		return nil
	}
	return m.logs[i]
}

func (m *Monitor) several(service string) bool { return m.cfg.Several != nil && m.cfg.Several(service) }

// Pass reads every log once and tells what it found. The error says that the monitor itself cannot go on: its folder, not a log.
func (m *Monitor) Pass(ctx context.Context) (*Report, error) {
	r := &Report{At: m.cfg.Clock.Now().UTC(), Status: "clean", Logs: []*LogReport{}, Findings: []Finding{}}
	for _, l := range m.logs {
		before := l.mirror.size()
		if err := m.readLog(ctx, r, l); err != nil {
			return nil, err
		}
		if err := m.witnessed(ctx, r, l); err != nil {
			return nil, err
		}
		if err := m.also(ctx, r, l); err != nil {
			return nil, err
		}
		if err := m.judgeWaiting(r, l); err != nil {
			return nil, err
		}
		r.Logs = append(r.Logs, m.describe(r, l, before))
	}
	for _, l := range m.logs {
		l.ends.judge(l, r, m.cfg.RecordLife)
		l.ends.judgeDeletions(l, r, m.cfg.Retention)
	}
	m.pairs.judge(m, r)
	for _, f := range m.pairs.wrong {
		r.find(f)
	}
	for _, l := range m.logs {
		for _, f := range l.foreign {
			r.find(f)
		}
		if l.cfg.Slots {
			l.judgeSlots(r)
		}
	}
	if err := m.receipts(r); err != nil {
		return nil, err
	}
	r.Paired = m.pairs.paired
	for i := range r.Findings {
		r.Findings[i].ID = r.Findings[i].Identify()
	}
	if len(r.Findings) > 0 {
		r.Status = "findings"
	}
	return r, ctx.Err()
}

func (m *Monitor) describe(r *Report, l *logState, before uint64) *LogReport {
	out := &LogReport{Origin: l.cfg.Origin, Size: l.mirror.size(), Grown: l.mirror.size() - before, Exchanges: l.exchanges, Slots: l.sealed}
	l.ends.describe(out)
	if !l.cfg.Owner.IsZero() {
		out.Owner = l.cfg.Owner.String()
	}
	if l.cosigned.IsZero() {
		return out
	}
	at := l.cosigned.UTC()
	age := max(0, r.At.Sub(at))
	out.Cosigned, out.Staleness = &at, age.Seconds()
	if age > m.cfg.StaleAfter && l.cfg.End == nil {
		r.tell(KindStale, l, "no witness has cosigned anything new for %s: its operator withholds it, or its witnesses are down", age.Round(time.Second))
	}
	return out
}

// readLog brings a mirror up to what the log shows.
func (m *Monitor) readLog(ctx context.Context, r *Report, l *logState) error {
	text, err := get(ctx, l.cfg.Client, l.cfg.URL+"/checkpoint", maxCheckpoint)
	if errors.Is(err, errAbsent) && l.mirror.note == nil {
		return nil // it has begun, and its first hour is not over
	}
	if err != nil {
		r.tell(KindUnreachable, l, "its checkpoint: %s", err)
		return nil
	}
	size, root, err := l.open(text)
	if err != nil {
		r.tell(KindSignature, l, "what it shows as its checkpoint is not signed by it")
		return nil //nolint:nilerr // told: the round goes on with the other logs
	}
	if !m.quorum.Satisfied(text) && l.cfg.End == nil {
		r.tell(KindUnwitnessed, l, "no quorum of witnesses has cosigned what it shows, %d leaves", size)
	}
	if at := m.cosignedAt(text); at.After(l.cosigned) {
		l.cosigned = at
	}
	if l.asOf = l.cosigned; l.cfg.Live || l.cfg.End != nil {
		l.asOf = r.At
	}
	if l.cfg.End != nil {
		if err := m.end(r, l); err != nil {
			return err
		}
	}
	if size < l.mirror.size() && l.cfg.End != nil {
		return m.judge(r, l, head{"its own address", text, size, root}) // that leaves are lost is announced
	}
	if size < l.mirror.size() {
		f := r.tell(KindRolledBack, l, "it showed %d leaves and now shows %d: leaves were withdrawn; the mirror keeps them", l.mirror.size(), size)
		f.Evidence = folderOf("", l.cfg.Origin)
		return m.judge(r, l, head{"its own address", text, size, root})
	}
	return m.extend(ctx, r, l, head{"its own address", text, size, root})
}

// end holds an ended log to the end that the directory announces: it is of the log's history, and nothing was seen beyond it.
func (m *Monitor) end(r *Report, l *logState) error {
	size, root, err := l.open(l.cfg.End)
	if err != nil {
		r.tell(KindSignature, l, "the end that the directory announces is not signed by it")
		return nil //nolint:nilerr // told
	}
	if size < l.mirror.size() {
		r.tell(KindRolledBack, l, "the directory says that it ended with %d leaves, and it has shown %d: leaves were withdrawn; the mirror keeps them", size, l.mirror.size())
	}
	return m.judge(r, l, head{"the directory", l.cfg.End, size, root})
}

// extend reads the leaves that are new. They must give the signed root together with those of the mirror.
func (m *Monitor) extend(ctx context.Context, r *Report, l *logState, h head) error {
	fresh, err := l.leaves(ctx, l.mirror.size(), h.size)
	if err != nil {
		r.tell(KindUnreachable, l, "%s", err)
		return ctx.Err()
	}
	root, err := l.mirror.extended(fresh)
	if err != nil {
		return fmt.Errorf("the tree of %s: %w", l.cfg.Origin, err)
	}
	if root == h.root {
		first := l.mirror.size()
		if len(fresh) > 0 || !bytes.Equal(h.note, l.mirror.note) {
			if err := l.mirror.keep(fresh, h.note); err != nil {
				return err
			}
		}
		for i, leaf := range fresh {
			m.take(l, first+uint64(i), leaf)
		}
		return nil
	}
	return m.differs(ctx, r, l, h)
}

// differs finds out what is wrong with a log whose new head does not continue the mirror: it signed another history, which is a fork that two
// signatures prove, or it shows other leaves than it signed.
func (m *Monitor) differs(ctx context.Context, r *Report, l *logState, h head) error {
	shown, err := l.leaves(ctx, 0, h.size)
	if err != nil {
		r.tell(KindUnreachable, l, "%s", err)
		return ctx.Err()
	}
	whole := &mirror{}
	for _, leaf := range shown {
		whole.grow(leaf)
	}
	root, err := whole.edge.Hash()
	if err != nil {
		return fmt.Errorf("the tree of %s: %w", l.cfg.Origin, err)
	}
	at := firstDifference(whole.hashes, l.mirror.hashes)
	if root != h.root {
		f := r.tell(KindRewritten, l, "the leaves that it shows do not give the root that it signed at %d leaves", h.size)
		if at < uint64(min(len(whole.hashes), len(l.mirror.hashes))) {
			f.Index = &at
		}
		return nil
	}
	// What was seen before contradicts what is signed now: judged against the history that it shows now.
	old := &logState{cfg: l.cfg, check: l.check, mirror: whole}
	whole.note = h.note
	size, was, err := l.open(l.mirror.note)
	if err != nil {
		return fmt.Errorf("the mirror's checkpoint: %w", err)
	}
	file := ""
	if size <= h.size {
		now, err := whole.root(size)
		if err != nil {
			return fmt.Errorf("the tree of %s: %w", l.cfg.Origin, err)
		}
		if file, err = m.evidence(old, head{"this monitor before", l.mirror.note, size, was}, now); err != nil {
			return err
		}
	}
	f := r.tell(KindSplitView, l, "it has signed two heads that contradict each other: what it shows now is not what it showed before, from leaf %d on", at)
	f.Index, f.Evidence = &at, file
	return nil
}

// also judges what the log shows to others: everybody must be shown one history.
func (m *Monitor) also(ctx context.Context, r *Report, l *logState) error {
	for _, url := range l.cfg.Also {
		text, err := get(ctx, m.cfg.Client, strings.TrimRight(url, "/")+"/checkpoint", maxCheckpoint)
		if errors.Is(err, errAbsent) {
			continue // its first hour is not over
		}
		if err != nil {
			r.tell(KindUnreachable, l, "its checkpoint at %s: %s", url, err)
			continue
		}
		size, root, err := l.open(text)
		if err != nil {
			r.tell(KindSignature, l, "what it shows at %s is not signed by it", url)
			continue
		}
		if err := m.judge(r, l, head{url, text, size, root}); err != nil {
			return err
		}
	}
	return nil
}

func firstDifference(a, b []tlog.Hash) uint64 {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return uint64(i)
		}
	}
	return uint64(min(len(a), len(b)))
}
