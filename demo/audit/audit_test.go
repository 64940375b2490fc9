package audit

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/formats/witness"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/ledger/tiles"
)

// party is a member with a log that does as it is told.
type party struct {
	member   countersign.MemberID
	origin   countersign.LogOrigin
	vkey     string
	signer   note.Signer
	key      ed25519.PrivateKey
	witness  note.Signer
	leaves   [][]byte
	shown    int // leaves that the log shows; all where negative
	unproven bool
}

func newParty(t *testing.T, code string, witness note.Signer) *party {
	t.Helper()
	p := &party{member: countersign.MemberID{Instance: "T", Class: "GOV", Code: code}, origin: countersign.LogOrigin(code + ".example/log"), witness: witness, shown: -1}
	skey, vkey, err := note.GenerateKey(rand.Reader, string(p.origin))
	if err != nil {
		t.Fatal(err)
	}
	if p.signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.SplitN(skey, "+", 5)[4])
	if err != nil {
		t.Fatal(err)
	}
	p.vkey, p.key = vkey, ed25519.NewKeyFromSeed(raw[1:])
	p.leaves = [][]byte{(&countersign.Leaf{Kind: countersign.LeafInception, Hour: 1}).Encode()}
	return p
}

func (p *party) append(leaf *countersign.Leaf) uint64 {
	p.leaves = append(p.leaves, leaf.Encode())
	return uint64(len(p.leaves) - 1)
}

func (p *party) size() uint64 {
	if p.shown >= 0 {
		return uint64(p.shown)
	}
	return uint64(len(p.leaves))
}

func (p *party) tree(t *testing.T) tlog.HashReaderFunc {
	t.Helper()
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = stored[x]
		}
		return out, nil
	})
	for i, leaf := range p.leaves {
		hashes, err := tlog.StoredHashes(int64(i), leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
	}
	return reader
}

func (p *party) checkpoint(t *testing.T, size uint64) string {
	t.Helper()
	root, err := tlog.TreeHash(int64(size), p.tree(t))
	if err != nil {
		t.Fatal(err)
	}
	signers := []note.Signer{p.signer}
	if !p.unproven {
		signers = append(signers, p.witness)
	}
	text, err := note.Sign(&note.Note{Text: string(log.Checkpoint{Origin: string(p.origin), Size: size, Hash: root[:]}.Marshal())}, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// view implements tiles.View.
type view struct {
	t *testing.T
	*party
}

func (v view) Checkpoint(context.Context) ([]byte, uint64, error) {
	return []byte(v.checkpoint(v.t, v.size())), v.size(), nil
}
func (v view) Hashes(context.Context, tiles.ID, int) ([]byte, error) { return nil, fs.ErrNotExist }
func (v view) Leaves(_ context.Context, first uint64, count int) ([][]byte, error) {
	return v.leaves[first : first+uint64(count)], nil
}

// promise signs the promise of a leaf at an index.
func (p *party) promise(t *testing.T, index uint64, leaf []byte) (promise, signature []byte) {
	t.Helper()
	promise = (&countersign.Promise{Origin: p.origin, Index: index, Leaf: countersign.LeafHash(leaf), Time: 1_800_000_000_000}).Encode()
	one, err := countersign.NewTreeLeaf(countersign.DomainReceipt, promise)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := countersign.SignTree(p.key, []countersign.TreeLeaf{one})
	if err != nil {
		t.Fatal(err)
	}
	s, err := tree.Signature(0)
	if err != nil {
		t.Fatal(err)
	}
	if signature, err = s.Marshal(); err != nil {
		t.Fatal(err)
	}
	return promise, signature
}

// exchanged is one exchange as its client has it.
type exchanged struct {
	answer    *Answer
	statement *countersign.Statement
	salt      countersign.Salt
	leaf      *countersign.Leaf
	by        *party
	index     uint64
}

type world struct {
	t                  *testing.T
	consumer, provider *party
	policy             []byte
	quorum             witness.Group
	exchanges          []*exchanged
	checkpoints        []string
	mend               func(*Evidence) // spoils the client's evidence
}

func newWorld(t *testing.T) *world {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, "witness.example")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := fnote.NewSignerForCosignatureV1(skey)
	if err != nil {
		t.Fatal(err)
	}
	if vkey, err = fnote.VKeyToCosignatureV1(vkey); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, consumer: newParty(t, "MUN", signer), provider: newParty(t, "POP", signer), mend: func(*Evidence) {}}
	w.policy = fmt.Appendf(nil, "log %s\nlog %s\nwitness w %s https://w.example\ngroup g 1 w\nquorum g\n", w.consumer.vkey, w.provider.vkey, vkey)
	if w.quorum, err = witness.ParsePolicy(w.policy); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) statement(outcome countersign.Outcome, body []byte) *exchanged {
	id := countersign.NewExchangeID(time.UnixMilli(1_800_000_000_000))
	x := &exchanged{salt: countersign.Salt(sha256.Sum256(id[:]))}
	client := countersign.SubsystemID{MemberID: w.consumer.member, Subsystem: "desk"}
	service := countersign.ServiceID{SubsystemID: countersign.SubsystemID{MemberID: w.provider.member, Subsystem: "registry"}, Service: "person"}
	x.statement = &countersign.Statement{
		Exchange: id, Consumer: client, Service: service, Purpose: "property-tax", Basis: "tax-code", Subject: "pin:ABCDEFG",
		Official: countersign.Official{Assurance: countersign.AssuranceAutomated}, Outcome: outcome, Asked: 1_800_000_000_000, Answered: 1_800_000_000_001, Directory: 1,
	}
	sum := sha256.Sum256(body)
	x.answer = &Answer{Exchange: id.String(), Client: client, Service: service, Method: "GET", Status: 200, Body: sum}
	if outcome == countersign.OutcomeReleased {
		x.statement.Answer = x.salt.Blind("answer", sum[:])
	} else {
		x.answer.Status, x.answer.Error, x.answer.Code = 500, "server.serverproxy.access_denied", countersign.CodeAccessDenied
	}
	w.exchanges = append(w.exchanges, x)
	return x
}

func (x *exchanged) sideLeaf(side countersign.Side, outcome countersign.Outcome) *countersign.Leaf {
	return countersign.ExchangeLeaf(x.statement, side, outcome, x.salt.Commit(x.statement.Encode()))
}

// exchange is one that went as it should: recorded by both.
func (w *world) exchange(outcome countersign.Outcome) *exchanged {
	x := w.statement(outcome, []byte("body"))
	x.by, x.leaf = w.provider, x.sideLeaf(countersign.SideProvider, outcome)
	x.index = w.provider.append(x.leaf)
	closed := outcome
	if outcome == countersign.OutcomeReleased {
		closed = countersign.OutcomeReceived
	}
	w.consumer.append(x.sideLeaf(countersign.SideConsumer, closed))
	return x
}

// refusedHere is a question that the consumer's own gateway refused.
func (w *world) refusedHere() {
	x := w.statement(countersign.OutcomeRefused, nil)
	x.by, x.leaf = w.consumer, x.sideLeaf(countersign.SideConsumer, countersign.OutcomeRefused)
	x.index = w.consumer.append(x.leaf)
}

func (w *world) evidence() *Evidence {
	e := &Evidence{Checkpoints: w.checkpoints, Receipts: map[string]*countersign.Receipt{}}
	for _, x := range w.exchanges {
		e.Answers = append(e.Answers, x.answer)
		promise, signature := x.by.promise(w.t, x.index, x.leaf.Encode())
		x.answer.Receipt = ":" + base64.StdEncoding.EncodeToString(promise) + ":, :" + base64.StdEncoding.EncodeToString(signature) + ":"
		r := &countersign.Receipt{
			Format: countersign.ReceiptFormat, Promise: promise, Signature: signature, Leaf: x.leaf.Encode(), Statement: x.statement.Encode(), Salt: x.salt[:],
		}
		size := uint64(len(x.by.leaves))
		if x.index < size {
			path, err := tlog.ProveRecord(int64(size), int64(x.index), x.by.tree(w.t))
			if err != nil {
				w.t.Fatal(err)
			}
			tp := proof.TLogProof{Index: x.index, Checkpoint: []byte(x.by.checkpoint(w.t, size))}
			for _, h := range path {
				tp.Hashes = append(tp.Hashes, h)
			}
			r.Proof = string(tp.Marshal())
		}
		e.Receipts[x.answer.Exchange] = r
	}
	w.mend(e)
	return e
}

func (w *world) audit() (*Verdict, error) {
	policy, err := countersign.ParsePolicy(w.policy)
	if err != nil {
		w.t.Fatal(err)
	}
	e := w.evidence()
	a := &Auditor{Policy: policy, Clock: clock.System{}, Patience: 0}
	for _, p := range []*party{w.consumer, w.provider} {
		server := httptest.NewServer(tiles.Handler(view{w.t, p}))
		w.t.Cleanup(server.Close)
		key, err := countersign.ParseLogKey(p.vkey)
		if err != nil {
			w.t.Fatal(err)
		}
		l, err := newLog(key, p.member, server.URL, server.Client(), w.quorum)
		if err != nil {
			w.t.Fatal(err)
		}
		a.Logs = append(a.Logs, l)
	}
	return a.Audit(w.t.Context(), e)
}

// found is what a case is about of a verdict.
type found struct{ exchanges, refused, receipts, broken, without, lost, contradictions int }

func TestAuditorFindsWhatIsWrong(t *testing.T) {
	const released, refused = countersign.OutcomeReleased, countersign.OutcomeRefused
	for name, c := range map[string]struct {
		spoil func(*world)
		want  found
		fails bool // no audit can be held
	}{
		"nothing is wrong": {spoil: func(*world) {}, want: found{4, 2, 4, 0, 0, 0, 0}},
		"an answer before its record": {
			spoil: func(w *world) {
				w.provider.leaves = slices.Delete(w.provider.leaves, 1, 2)
				w.exchanges[1].index--
				w.exchanges[3].index--
			},
			want: found{4, 2, 3, 1, 1, 1, 0},
		},
		"a record that was lost at the end": {
			spoil: func(w *world) {
				w.exchange(released)
				w.provider.leaves = w.provider.leaves[:len(w.provider.leaves)-1]
			},
			want: found{5, 2, 4, 1, 1, 1, 0},
		},
		"a record that was moved": {
			spoil: func(w *world) {
				w.exchanges[0].index, w.exchanges[1].index = w.exchanges[1].index, w.exchanges[0].index
			},
			want: found{4, 2, 2, 2, 0, 2, 0},
		},
		"a consumer without a record": {
			spoil: func(w *world) { w.consumer.leaves = slices.Delete(w.consumer.leaves, 1, 2); w.exchanges[2].index-- },
			want:  found{4, 2, 4, 0, 1, 1, 0},
		},
		"a consumer that says something else": {
			spoil: func(w *world) {
				w.consumer.leaves[1] = w.exchanges[0].sideLeaf(countersign.SideConsumer, countersign.OutcomeNotAccepted).Encode()
			},
			want: found{4, 2, 4, 0, 1, 0, 0},
		},
		"an answer with data that says its end is not known": {
			spoil: func(w *world) {
				w.mend = func(e *Evidence) { e.Answers[0].Receipt, e.Answers[0].Pending = "", true }
			},
			want: found{3, 2, 3, 0, 1, 0, 0},
		},
		"a refusal whose receipt came later": {
			spoil: func(w *world) {
				w.mend = func(e *Evidence) {
					a := e.Answers[slices.IndexFunc(e.Answers, func(a *Answer) bool { return a.Error != "" })]
					a.Receipt, a.Pending = "", true
				}
			},
			want: found{4, 2, 4, 0, 0, 0, 0},
		},
		"a refusal whose receipt never came": {
			spoil: func(w *world) {
				w.mend = func(e *Evidence) {
					a := e.Answers[slices.IndexFunc(e.Answers, func(a *Answer) bool { return a.Error != "" })]
					a.Receipt, a.Pending = "", true
					delete(e.Receipts, a.Exchange)
				}
			},
			want: found{3, 1, 3, 0, 1, 0, 0},
		},
		"an answer without a receipt": {
			spoil: func(w *world) { w.mend = func(e *Evidence) { e.Answers[0].Receipt = "" } },
			want:  found{3, 2, 3, 0, 1, 0, 0},
		},
		"an answer that calls itself noise": {
			spoil: func(w *world) {
				w.mend = func(e *Evidence) { e.Answers[0].Receipt, e.Answers[0].Code = "", countersign.CodeBadRequest }
			},
			want: found{3, 2, 3, 0, 1, 0, 0},
		},
		"a promise of somebody else": {
			spoil: func(w *world) { w.mend = func(e *Evidence) { e.Answers[0].Receipt = e.Answers[2].Receipt } },
			want:  found{3, 2, 3, 0, 1, 0, 0},
		},
		"a promise that nobody signed": {
			spoil: func(w *world) { w.provider.key = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) },
			want:  found{1, 1, 1, 0, 3, 0, 0},
		},
		"a receipt that is missing": {
			spoil: func(w *world) { w.mend = func(e *Evidence) { delete(e.Receipts, e.Answers[0].Exchange) } },
			want:  found{4, 2, 3, 1, 0, 0, 0},
		},
		"a receipt without a proof": {
			spoil: func(w *world) { w.mend = func(e *Evidence) { e.Receipts[e.Answers[0].Exchange].Proof = "" } },
			want:  found{4, 2, 3, 1, 0, 0, 0},
		},
		"another body than the recorded one": {
			spoil: func(w *world) { w.mend = func(e *Evidence) { e.Answers[0].Body[0] ^= 1 } },
			want:  found{4, 2, 3, 1, 0, 0, 0},
		},
		"another service than the recorded one": {
			spoil: func(w *world) { w.mend = func(e *Evidence) { e.Answers[0].Service.Service = "family" } },
			want:  found{4, 2, 3, 1, 1, 0, 0},
		},
		"a refusal that was an answer": {
			spoil: func(w *world) {
				w.mend = func(e *Evidence) { e.Answers[1].Error, e.Answers[1].Code, e.Answers[1].Status = "", "", 200 }
			},
			want: found{4, 1, 4, 0, 1, 0, 0},
		},
		"an intent that nobody closed": {
			spoil: func(w *world) {
				w.exchange(released)
				w.consumer.leaves = w.consumer.leaves[:len(w.consumer.leaves)-1]
				w.mend = func(e *Evidence) { e.Answers = e.Answers[:4] }
			},
			want: found{4, 2, 4, 0, 0, 1, 0},
		},
		"an intent that its consumer closed alone": {
			spoil: func(w *world) {
				x := w.exchange(released)
				alone := x.sideLeaf(countersign.SideConsumer, countersign.OutcomeNotAccepted)
				alone.Commitment = countersign.Commitment{1}
				w.consumer.leaves[len(w.consumer.leaves)-1] = alone.Encode()
				w.mend = func(e *Evidence) { e.Answers = e.Answers[:4] }
			},
			want: found{4, 2, 4, 0, 0, 1, 0},
		},
		"an accepted answer that its provider forgot": {
			spoil: func(w *world) {
				w.exchange(released)
				w.provider.leaves = w.provider.leaves[:len(w.provider.leaves)-1]
				w.mend = func(e *Evidence) { e.Answers = e.Answers[:4] }
			},
			want: found{4, 2, 4, 0, 0, 1, 0},
		},
		"a history that was another one yesterday": {
			spoil: func(w *world) {
				w.provider.leaves[0] = (&countersign.Leaf{Kind: countersign.LeafInception, Hour: 2}).Encode()
			},
			want: found{4, 2, 4, 0, 0, 0, 1},
		},
		"a log that is shorter than it was": {
			spoil: func(w *world) {
				w.checkpoints = append(w.checkpoints, w.provider.checkpoint(w.t, uint64(len(w.provider.leaves))))
				w.provider.shown = len(w.provider.leaves) - 1
			},
			want: found{4, 2, 4, 0, 1, 1, 1},
		},
		"a checkpoint of nobody's": {
			spoil: func(w *world) {
				stranger := newParty(w.t, "X", w.provider.witness)
				w.checkpoints = append(w.checkpoints, stranger.checkpoint(w.t, 1))
			},
			want: found{4, 2, 4, 0, 0, 0, 1},
		},
		"a checkpoint that nobody cosigned": {spoil: func(w *world) { w.provider.unproven = true }, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.exchange(released)
			w.exchange(refused)
			w.refusedHere()
			w.exchange(released)
			w.checkpoints = []string{w.consumer.checkpoint(t, 1), w.provider.checkpoint(t, 1)}
			c.spoil(w)
			v, err := w.audit()
			if c.fails {
				if err == nil {
					t.Fatalf("the audit was held: %+v", v)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := found{v.Exchanges, v.Refused, v.ReceiptsVerified, v.ReceiptsBroken, v.AnswersWithoutRecord, v.RecordsLost, v.Contradictions}
			if got != c.want {
				t.Errorf("found %+v, want %+v\n%s", got, c.want, strings.Join(v.Problems, "\n"))
			}
			if clean := got.receipts == got.exchanges && got.without+got.lost+got.broken+got.contradictions == 0; clean != (v.Err() == nil) {
				t.Errorf("verdict %v for %+v", v.Err(), got)
			}
		})
	}
}
