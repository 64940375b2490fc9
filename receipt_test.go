package countersign

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"
)

// goodReceipts are receipts that hold, each with what is established.
var goodReceipts = []struct {
	name     string
	change   func(testing.TB, *scene)
	cosigned bool
	bare     bool // no statement
}{
	{name: "complete", change: func(testing.TB, *scene) {}, cosigned: true},
	{name: "promise without proof", change: func(_ testing.TB, sc *scene) { sc.receipt.Proof = "" }},
	{name: "leaf without statement", change: func(_ testing.TB, sc *scene) { sc.receipt.Statement, sc.receipt.Salt = nil, nil }, cosigned: true, bare: true},
	{name: "cosigned by all three witnesses", change: func(t testing.TB, sc *scene) {
		sc.receipt.Proof = sc.provider.proof(t, sc.index, sc.provider.checkpoint(t, "archive-a", "archive-b", "bar"))
	}, cosigned: true},
	{name: "a refusal", change: func(t testing.TB, sc *scene) {
		st := sampleStatement()
		st.Outcome, st.Fields, st.Reasons, st.Answer = OutcomeRefused, nil, []Code{CodeForbiddenCell}, SaltedDigest{}
		sc.restate(t, st, func(*Leaf) {})
	}, cosigned: true},
	{name: "a streamed answer's release", change: func(t testing.TB, sc *scene) {
		st := sampleStatement()
		st.Subject, st.Fields = "", []FieldPath{"*"}
		sc.restate(t, st, func(l *Leaf) { l.Kind = LeafRelease })
	}, cosigned: true},
	{name: "the consumer's leaf, which tells its own outcome", change: func(t testing.TB, sc *scene) {
		sc.restate(t, sampleStatement(), func(l *Leaf) { l.Side, l.Outcome = SideConsumer, OutcomeReceived })
	}, cosigned: true},
}

// brokenReceipts are receipts with one broken link each, and what the refusal says of it.
var brokenReceipts = []struct {
	name   string
	change func(testing.TB, *scene)
	says   string
}{
	{"a log that the policy does not name", func(t testing.TB, sc *scene) {
		sc.repromise(t, sc.other, func(p *Promise) { p.Origin = LogOrigin(sc.other.origin) })
	}, "does not name"},
	{"a promise signed by another log", func(t testing.TB, sc *scene) { sc.repromise(t, sc.other, func(*Promise) {}) }, "not signed by the log"},
	{"a promise altered after signing", func(_ testing.TB, sc *scene) { sc.receipt.Promise[len(sc.receipt.Promise)-1] ^= 1 }, "not signed by the log"},
	{"a signature for another domain", func(t testing.TB, sc *scene) {
		leaf, err := newTreeLeaf(DomainResponse, TreeNonce{}, sc.receipt.Promise)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := SignTree(sc.provider.key, []TreeLeaf{leaf})
		if err != nil {
			t.Fatal(err)
		}
		s, err := tree.Signature(0)
		if err != nil {
			t.Fatal(err)
		}
		sc.receipt.Signature, _ = s.Marshal()
	}, "not signed by the log"},
	{"no signature", func(_ testing.TB, sc *scene) { sc.receipt.Signature = nil }, "not signed by the log"},
	{"no promise", func(_ testing.TB, sc *scene) { sc.receipt.Promise = nil }, "promise cannot be read"},
	{"a promise of version 2", func(_ testing.TB, sc *scene) { sc.receipt.Promise[1] = 2 }, "version 2"},
	{"another leaf", func(_ testing.TB, sc *scene) { sc.receipt.Leaf = sc.provider.leaves[0] }, "not the one that the log promised"},
	{"no leaf", func(_ testing.TB, sc *scene) { sc.receipt.Leaf = nil }, "not the one that the log promised"},
	{"a promise for something that is no leaf", func(t testing.TB, sc *scene) {
		sc.receipt.Leaf = []byte("a line of text")
		sc.repromise(t, sc.provider, func(p *Promise) { p.Leaf = LeafHash(sc.receipt.Leaf) })
	}, "no leaf"},
	{"another statement", func(_ testing.TB, sc *scene) {
		st := sampleStatement()
		st.Purpose = "permit"
		sc.receipt.Statement = st.Encode()
	}, "does not open"},
	{"another salt", func(_ testing.TB, sc *scene) { sc.receipt.Salt[0] ^= 1 }, "does not open"},
	{"a salt of 31 bytes", func(_ testing.TB, sc *scene) { sc.receipt.Salt = sc.receipt.Salt[:31] }, "31 bytes where 32"},
	{"a statement without salt", func(_ testing.TB, sc *scene) { sc.receipt.Salt = nil }, "0 bytes where 32"},
	{"a salt without statement", func(_ testing.TB, sc *scene) { sc.receipt.Statement = nil }, "does not open"},
	{"a leaf that tells another purpose than its statement", func(t testing.TB, sc *scene) {
		sc.restate(t, sampleStatement(), func(l *Leaf) { l.Purpose = "permit" })
	}, "tells another"},
	{"a leaf that tells another consumer than its statement", func(t testing.TB, sc *scene) {
		sc.restate(t, sampleStatement(), func(l *Leaf) { l.Consumer = "DEMO/GOV/1006/other" })
	}, "tells another"},
	{"a provider's leaf that tells another outcome than its statement", func(t testing.TB, sc *scene) {
		sc.restate(t, sampleStatement(), func(l *Leaf) { l.Outcome = OutcomeRefused })
	}, "tells another"},
	{"a leaf of another hour than its statement", func(t testing.TB, sc *scene) {
		sc.restate(t, sampleStatement(), func(l *Leaf) { l.Hour-- })
	}, "tells another"},
	{"the proof of another index", func(t testing.TB, sc *scene) {
		sc.receipt.Proof = sc.provider.proof(t, sc.index+1, sc.provider.checkpoint(t, "archive-a", "bar"))
	}, "promised index 3"},
	{"a promise of another index than the proof's", func(t testing.TB, sc *scene) {
		sc.repromise(t, sc.provider, func(p *Promise) { p.Index = 4 })
	}, "promised index 4"},
	{"a proof's path that leads elsewhere", func(_ testing.TB, sc *scene) {
		p := parsedProof(sc.receipt.Proof)
		p.Hashes[1][5] ^= 1
		sc.receipt.Proof = string(p.Marshal())
	}, "not included"},
	{"a proof with a hash too few", func(_ testing.TB, sc *scene) {
		p := parsedProof(sc.receipt.Proof)
		p.Hashes = p.Hashes[1:]
		sc.receipt.Proof = string(p.Marshal())
	}, "not included"},
	{"a checkpoint before the record", func(t testing.TB, sc *scene) {
		young := newTestLog(t, sc.provider.origin, sc.provider.leaves[:sc.index]...)
		p := parsedProof(sc.receipt.Proof)
		p.Checkpoint = []byte(young.checkpoint(t, "archive-a", "bar"))
		sc.receipt.Proof = string(p.Marshal())
	}, "does not reach index 3"},
	{"a checkpoint of another tree of the same log", func(t testing.TB, sc *scene) {
		leaves := slices.Clone(sc.provider.leaves)
		leaves[0], leaves[sc.index] = leaves[sc.index], leaves[0]
		fork := newTestLog(t, sc.provider.origin, leaves...)
		p := parsedProof(sc.receipt.Proof)
		p.Checkpoint = []byte(fork.checkpoint(t, "archive-a", "bar"))
		sc.receipt.Proof = string(p.Marshal())
	}, "not included"},
	{"a checkpoint that nobody cosigned", func(t testing.TB, sc *scene) {
		sc.receipt.Proof = sc.provider.proof(t, sc.index, sc.provider.checkpoint(t))
	}, "not cosigned"},
	{"a checkpoint cosigned by two witnesses of one organisation", func(t testing.TB, sc *scene) {
		sc.receipt.Proof = sc.provider.proof(t, sc.index, sc.provider.checkpoint(t, "archive-a", "archive-b"))
	}, "not cosigned"},
	{"a checkpoint cosigned by strangers", func(t testing.TB, sc *scene) {
		sc.receipt.Proof = sc.provider.proof(t, sc.index, sc.provider.checkpoint(t, "nobody", "no-one"))
	}, "not cosigned"},
	{"cosignatures of another checkpoint", func(t testing.TB, sc *scene) {
		young := newTestLog(t, sc.provider.origin, sc.provider.leaves[:5]...)
		_, cosignatures, _ := strings.Cut(young.checkpoint(t, "archive-a", "bar"), "— archive-a")
		sc.receipt.Proof = sc.provider.proof(t, sc.index, sc.provider.checkpoint(t)+"— archive-a"+cosignatures)
	}, "not cosigned"},
	{"a checkpoint that the log did not sign", func(t testing.TB, sc *scene) {
		text := sc.provider.checkpoint(t, "archive-a", "bar")
		own := strings.Index(text, "— population")
		end := strings.Index(text, "— archive-a")
		sc.receipt.Proof = sc.provider.proof(t, sc.index, text[:own]+text[end:])
	}, "not signed by the log"},
	{"a checkpoint of another log", func(t testing.TB, sc *scene) {
		sc.receipt.Proof = sc.other.proof(t, sc.index, sc.other.checkpoint(t, "archive-a", "bar"))
	}, "not signed by the log"},
	{"a proof that is none", func(_ testing.TB, sc *scene) { sc.receipt.Proof = "c2sp.org/tlog-proof@v9\n" }, "not a C2SP tlog-proof"},
}

func parsedProof(text string) *proof.TLogProof {
	p := new(proof.TLogProof)
	if err := p.Unmarshal([]byte(text)); err != nil {
		panic(err)
	}
	return p
}

func TestVerifyGoodReceipts(t *testing.T) {
	for _, c := range goodReceipts {
		t.Run(c.name, func(t *testing.T) {
			sc := newScene(t)
			c.change(t, sc)
			policy, err := ParsePolicy([]byte(sc.policyText))
			if err != nil {
				t.Fatal(err)
			}
			// By way of the file, as a stranger gets it.
			text, err := json.Marshal(sc.receipt)
			if err != nil {
				t.Fatal(err)
			}
			receipt, err := ParseReceipt(text)
			if err != nil {
				t.Fatal(err)
			}
			f, err := policy.Verify(receipt)
			if err != nil {
				t.Fatal(err)
			}
			if f.Cosigned != c.cosigned || (f.TreeSize == 7) != c.cosigned || (f.Statement == nil) != c.bare || f.Leaf == nil || f.Promise.Index != uint64(sc.index) {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestVerifyBrokenReceipts(t *testing.T) {
	for _, c := range brokenReceipts {
		t.Run(c.name, func(t *testing.T) {
			sc := newScene(t)
			c.change(t, sc)
			policy, err := ParsePolicy([]byte(sc.policyText))
			if err != nil {
				t.Fatal(err)
			}
			f, err := policy.Verify(sc.receipt)
			if f != nil || !errors.Is(err, CodeSignature) || CodeOf(err) != CodeSignature || !strings.Contains(MessageOf(err), c.says) {
				t.Errorf("%+v, %v: an invalid_signature that says %q is due", f, err, c.says)
			}
		})
	}
}

// TestNoByteOfAReceiptIsIdle: a receipt of which any byte of a checked part was changed never verifies as the one that it was.
func TestNoByteOfAReceiptIsIdle(t *testing.T) {
	sc := newScene(t)
	policy, err := ParsePolicy([]byte(sc.policyText))
	if err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string]func(*Receipt) *[]byte{
		"promise": func(r *Receipt) *[]byte { return &r.Promise }, "signature": func(r *Receipt) *[]byte { return &r.Signature },
		"leaf": func(r *Receipt) *[]byte { return &r.Leaf }, "statement": func(r *Receipt) *[]byte { return &r.Statement }, "salt": func(r *Receipt) *[]byte { return &r.Salt },
	} {
		for i := range *part(sc.receipt) {
			r := *sc.receipt
			changed := slices.Clone(*part(&r))
			changed[i] ^= 0x20
			*part(&r) = changed
			if _, err := policy.Verify(&r); !errors.Is(err, CodeSignature) {
				t.Errorf("byte %d of the %s: %v", i, name, err)
			}
		}
	}
}

func TestOurNotesAreTheLibrarys(t *testing.T) {
	sc := newScene(t)
	v, err := note.NewVerifier(sc.provider.vkey())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := log.ParseCheckpoint([]byte(sc.provider.checkpoint(t)), sc.provider.origin, v); err != nil {
		t.Error(err)
	}
}

func TestPromiseRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &Promise{Origin: LogOrigin(rapid.StringN(0, 40, 200).Draw(t, "origin")), Index: rapid.Uint64().Draw(t, "index"), Time: Millis(rapid.Int64Range(0, int64(MaxMillis)).Draw(t, "time"))}
		copy(p.Leaf[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "leaf"))
		b := p.Encode()
		if top, err := readDeterministic(b); err != nil || len(top.items) != 5 {
			t.Fatalf("%x: %v", b, err)
		}
		got, err := ParsePromise(b)
		if err != nil || *got != *p {
			t.Fatalf("%+v came back as %+v: %v", p, got, err)
		}
	})
	refusedForms(t, (&Promise{Origin: "population.example/log", Index: 300, Leaf: Digest{1}, Time: 1772366400185}).Encode(), func(b []byte) error { _, err := ParsePromise(b); return err })
}

func TestParseReceipt(t *testing.T) {
	good, err := json.Marshal(newScene(t).receipt)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing": "", "no JSON": "receipt", "a list": "[]", "another format": `{"format":"countersign-receipt-2"}`, "no format": `{"promise":"AA=="}`,
		"an unknown member":  strings.Replace(string(good), `{`, `{"note":"trust me",`, 1),
		"something after it": string(good) + "{}", "a brace after it": string(good) + "}", "a receipt after it": string(good) + string(good),
		"bytes that are not base64": `{"format":"countersign-receipt","promise":"?"}`, "a truncated file": string(good[:len(good)-2]),
	} {
		if _, err := ParseReceipt([]byte(text)); !errors.Is(err, CodeBadRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseReceipt([]byte(string(good) + " \n")); err != nil {
		t.Errorf("a line feed after it: %v", err)
	}
	if _, err := ParseReceipt(make([]byte, 1<<20+1)); !errors.Is(err, CodeTooLarge) {
		t.Errorf("a file over a mebibyte: %v", err)
	}
}

func TestParseLogKey(t *testing.T) {
	key := testKey("population.example/log")
	got, err := ParseLogKey(vkey("population.example/log", 1, key))
	if err != nil || got.Origin != "population.example/log" || !publicOf(key).Equal(got.Public) {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "a+b", "a+00000000+", "a+00000000+AQ==", vkey("a", 4, key), "a+00000000+!"} {
		if _, err := ParseLogKey(bad); !errors.Is(err, CodeBadRequest) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzReceipt(f *testing.F) {
	sc := newScene(f)
	good, err := json.Marshal(sc.receipt)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, sc.policyText)
	f.Add([]byte(`{"format":"countersign-receipt"}`), "log x\nquorum none\n")
	f.Fuzz(func(t *testing.T, text []byte, policyText string) {
		r, err := ParseReceipt(text)
		if err != nil {
			return
		}
		p, err := ParsePolicy([]byte(policyText))
		if err != nil {
			return
		}
		found, err := p.Verify(r)
		if err != nil {
			if CodeOf(err) != CodeSignature {
				t.Errorf("%v", err)
			}
			return
		}
		// Whatever the fuzzer wrote, only the log's own key makes a promise.
		if string(r.Promise) != string(sc.receipt.Promise) || found.Leaf.Commitment != sc.salt.Commit(sc.receipt.Statement) {
			t.Errorf("a promise that no log made verifies: %x", r.Promise)
		}
	})
}
