package monitor

import (
	"slices"

	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign"
)

// receipts holds every given receipt against its log: the leaf stands where it was promised, and the tree of its proof is one that the log grew
// out of.
func (m *Monitor) receipts(r *Report) error {
	for _, rec := range m.cfg.Receipts {
		p, err := countersign.ParsePromise(rec.Promise)
		if err != nil {
			continue // it proves nothing against anybody
		}
		i := slices.IndexFunc(m.logs, func(l *logState) bool { return l.cfg.Origin == p.Origin })
		if i < 0 {
			continue
		}
		l := m.logs[i]
		if countersign.VerifyTree(l.key.Public, countersign.DomainReceipt, rec.Promise, rec.Signature, nil) != nil {
			continue // as above: the log never said it
		}
		r.Receipts++
		m.promise(r, l, p)
		if err := m.proof(r, l, rec.Proof); err != nil {
			return err
		}
	}
	return nil
}

func (m *Monitor) promise(r *Report, l *logState, p *countersign.Promise) {
	switch {
	case p.Index < l.mirror.size():
		if l.mirror.hashes[p.Index] != tlog.Hash(p.Leaf) {
			f := r.tell(KindBrokenPromise, l, "another leaf stands where it promised one: it has forked after a receipt, or was changed")
			f.Index = &p.Index
		}
	case l.cosigned.After(p.Time.Time().Add(m.cfg.StaleAfter)):
		f := r.tell(KindBrokenPromise, l, "it promised a leaf, and what was cosigned since does not reach it")
		f.Index = &p.Index
	}
}

func (m *Monitor) proof(r *Report, l *logState, text string) error {
	if text == "" {
		return nil
	}
	var tp proof.TLogProof
	if tp.Unmarshal([]byte(text)) != nil {
		return nil //nolint:nilerr // it proves nothing against anybody
	}
	size, root, err := l.open(tp.Checkpoint)
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	return m.judge(r, l, head{"a receipt's proof", tp.Checkpoint, size, root})
}
