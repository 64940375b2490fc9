package countersign

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the vectors under docs/spec/vectors anew")

// drift compares a vector file with what the code makes now; with -update it writes the file.
func drift(t *testing.T, file string, made any) {
	t.Helper()
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(made); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("docs", "spec", "vectors", filepath.FromSlash(file))
	if *update {
		if err := os.WriteFile(path, buf.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(was, buf.Bytes()) {
		t.Errorf("%s no longer says what the code does: a change of format needs a new version, or run go test -run Vectors -update", path)
	}
}

func readVectors(t *testing.T, file string, v any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("docs", "spec", "vectors", filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatal(err)
	}
}

// hexBytes are written as hexadecimal digits.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

type refusedVector struct {
	Name string   `json:"name"`
	CBOR hexBytes `json:"cbor"`
}

// refusedVectors takes every mutation but the many that differ from another only in place or width.
func refusedVectors(t *testing.T, valid []byte) []refusedVector {
	t.Helper()
	var out []refusedVector
	for _, m := range mutations(t, valid) {
		cut, wide := strings.HasPrefix(m.name, "cut after"), strings.Contains(m.name, "a head of")
		if (!cut || strings.HasSuffix(m.name, "0 bytes")) && (!wide || strings.Contains(m.name, "8 bytes")) {
			out = append(out, refusedVector{m.name, m.bytes})
		}
	}
	return out
}

type statementVectors struct {
	About      string            `json:"about"`
	Statements []statementVector `json:"statements"`
	Refused    []refusedVector   `json:"refused"`
}

type statementVector struct {
	Name         string     `json:"name"`
	ConsumerHalf hexBytes   `json:"consumerHalf"`
	ProviderHalf hexBytes   `json:"providerHalf"`
	RequestHash  string     `json:"requestHash"`
	AnswerBody   *string    `json:"answerBody"`
	Statement    *Statement `json:"statement"`
	CBOR         hexBytes   `json:"cbor"`
	Salt         hexBytes   `json:"salt"`
	Commitment   hexBytes   `json:"commitment"`
}

func TestStatementVectors(t *testing.T) {
	body, empty := `{"address":{"city":"Nərgizabad","street":"Qarağac 7"}}`, ""
	made := statementVectors{About: "Statements in CBOR, salts and commitments; see README.md"}
	for i, c := range []struct {
		name   string
		body   *string
		change func(*Statement)
	}{
		{"released, every element filled", &body, func(*Statement) {}},
		{"refused, with two reasons", nil, func(s *Statement) {
			s.Outcome, s.Fields, s.Reasons = OutcomeRefused, nil, []Code{CodeForbiddenCell, CodeAssurance}
			s.Mandate, s.Case, s.OnBehalfOf = MandateRef{}, "", nil
		}},
		{"failed: the register did not answer", nil, func(s *Statement) { s.Outcome, s.Fields, s.Reasons = OutcomeFailed, nil, []Code{CodeRegister} }},
		{"class O: nobody is asked about, nothing is filtered", &body, func(s *Statement) {
			s.Subject, s.Case, s.OnBehalfOf, s.Mandate, s.Fields = "", "", nil, MandateRef{}, []FieldPath{"*"}
			s.Official = Official{Assurance: AssuranceAutomated}
		}},
		{"a client that is the member itself, an empty answer", &empty, func(s *Statement) { s.Consumer.Subsystem, s.Fields = "", nil }},
		{"least and greatest numbers", &body, func(s *Statement) { s.Asked, s.Answered, s.Directory = 0, MaxMillis, 1<<64-1 }},
		{"texts beyond ASCII", &body, func(s *Statement) {
			s.Official.Role, s.Case, s.Consumer.Subsystem = "müfəttiş", "№ 118/İ", "Əmək"
			s.OnBehalfOf = []string{"COM/2001", "COM/Şirkət"}
		}},
		{"a warrant", &body, func(s *Statement) {
			s.Mandate = MandateRef{MandateWarrant, "DEMO-COURT-2026-7", Digest(sha256.Sum256([]byte("warrant")))}
		}},
	} {
		var v statementVector
		a, b := sha256.Sum256([]byte{'a', byte(i)}), sha256.Sum256([]byte{'b', byte(i)})
		s, salt := sampleStatement(), JoinSalt(a, b)
		c.change(s)
		v.Name, v.ConsumerHalf, v.ProviderHalf, v.AnswerBody, v.Salt = c.name, a[:], b[:], c.body, salt[:]
		v.RequestHash = "gE5h0Q3n9vX5k1L0bRZ2h6v0n1o8s3m4KXk2Q1v0wR7cV9m2y8s4T6u1p3a5d7f9h0j2k4l6z8x1c3v5b7n9mQ=="
		s.Request, s.Answer = salt.Blind("request", []byte(v.RequestHash)), SaltedDigest{}
		if c.body != nil {
			digest := sha256.Sum256([]byte(*c.body))
			s.Answer = salt.Blind("answer", digest[:])
		}
		text := s.Encode()
		commitment := salt.Commit(text)
		v.CBOR, v.Commitment = text, commitment[:]
		// Lists that are empty are so in the file too, and not null.
		var err error
		if v.Statement, err = ParseStatement(text); err != nil {
			t.Fatal(err)
		}
		made.Statements = append(made.Statements, v)
	}
	compact := &Statement{
		Consumer: SubsystemID{MemberID{"D", "G", "2"}, "s"}, Service: ServiceID{SubsystemID{MemberID{"D", "G", "1"}, "s"}, "v"},
		Official: Official{Assurance: AssuranceAutomated}, Fields: []FieldPath{"*"}, Outcome: OutcomeReleased, Asked: 1772366400123, Answered: 1772366400181, Directory: 17,
	}
	made.Refused = refusedVectors(t, compact.Encode())
	drift(t, "statement/statement.json", made)

	// Read as a second implementation would: from the file alone.
	var read statementVectors
	readVectors(t, "statement/statement.json", &read)
	if len(read.Statements) < 8 || len(read.Refused) < 100 {
		t.Fatalf("%d statements and %d refused forms were read", len(read.Statements), len(read.Refused))
	}
	for _, v := range read.Statements {
		salt := JoinSalt(SaltHalf(v.ConsumerHalf), SaltHalf(v.ProviderHalf))
		if got := v.Statement.Encode(); !bytes.Equal(got, v.CBOR) {
			t.Errorf("%s: %x is written, not %x", v.Name, got, v.CBOR)
		}
		if _, err := readDeterministic(v.CBOR); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		if !bytes.Equal(salt[:], v.Salt) || !salt.Opens(Commitment(v.Commitment), v.CBOR) {
			t.Errorf("%s: salt and statement do not open the commitment", v.Name)
		}
	}
	for _, v := range read.Refused {
		if s, err := ParseStatement(v.CBOR); err == nil {
			t.Errorf("%s is read as %+v", v.Name, s)
		}
	}
}

type leafVectors struct {
	About   string          `json:"about"`
	Leaves  []leafVector    `json:"leaves"`
	Refused []refusedVector `json:"refused"`
}

type leafVector struct {
	Name       string   `json:"name"`
	Leaf       *Leaf    `json:"leaf"`
	Commitment hexBytes `json:"commitment"`
	CBOR       hexBytes `json:"cbor"`
	Hash       Digest   `json:"hash"`
}

func TestLeafVectors(t *testing.T) {
	made := leafVectors{About: "Leaves in CBOR and their RFC 6962 hashes; see README.md", Refused: refusedVectors(t, sampleLeaf().Encode())}
	for i, c := range []struct {
		name   string
		change func(*Leaf)
	}{
		{"the provider's leaf of an answer", func(*Leaf) {}},
		{"the consumer's leaf of the same answer", func(l *Leaf) { l.Side, l.Outcome = SideConsumer, OutcomeReceived }},
		{"the consumer's leaf of an answer that it dropped", func(l *Leaf) { l.Side, l.Outcome = SideConsumer, OutcomeNotAccepted }},
		{"a refusal", func(l *Leaf) { l.Mandate, l.Outcome = MandateNone, OutcomeRefused }},
		{"a streamed answer begins", func(l *Leaf) { l.Kind, l.Mandate = LeafRelease, MandateNone }},
		{"a streamed answer has ended", func(l *Leaf) { l.Kind, l.Mandate = LeafCompletion, MandateNone }},
		{"a kind that stands for a digest alone", func(l *Leaf) { *l = Leaf{Kind: LeafDirectory, Hour: l.Hour} }},
		{"the last hour", func(l *Leaf) { l.Hour = MaxHour }},
		{"a kind that nobody knows yet", func(l *Leaf) { *l = Leaf{Kind: 200, Hour: l.Hour} }},
	} {
		l := sampleLeaf()
		c.change(l)
		l.Commitment = sha256.Sum256([]byte{'c', byte(i)})
		b := l.Encode()
		made.Leaves = append(made.Leaves, leafVector{c.name, l, l.Commitment[:], b, LeafHash(b)})
	}
	// A leaf of an unknown kind has no word of its own in JSON: the bytes are the vector.
	made.Leaves[len(made.Leaves)-1].Leaf = nil
	drift(t, "leaf/leaf.json", made)

	var read leafVectors
	readVectors(t, "leaf/leaf.json", &read)
	if len(read.Leaves) < 9 || len(read.Refused) < 60 {
		t.Fatalf("%d leaves and %d refused forms were read", len(read.Leaves), len(read.Refused))
	}
	for _, v := range read.Leaves {
		got, err := ParseLeaf(v.CBOR)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		if v.Leaf != nil {
			v.Leaf.Commitment = Commitment(v.Commitment)
			if *got != *v.Leaf {
				t.Errorf("%s: %+v", v.Name, got)
			}
		}
		if sha256.Sum256(append([]byte{0}, v.CBOR...)) != v.Hash || !bytes.Equal(got.Commitment[:], v.Commitment) {
			t.Errorf("%s: hash or commitment differ", v.Name)
		}
	}
	for _, v := range read.Refused {
		if l, err := ParseLeaf(v.CBOR); err == nil {
			t.Errorf("%s is read as %+v", v.Name, l)
		}
	}
}

type receiptVectors struct {
	About    string          `json:"about"`
	Policy   string          `json:"policy"`
	Receipts []receiptVector `json:"receipts"`
	Policies []policyVector  `json:"policies"`
}

type receiptVector struct {
	Name    string   `json:"name"`
	File    string   `json:"file"`
	Result  string   `json:"result"` // valid, invalid or unusable
	Says    string   `json:"says,omitempty"`
	Finding *finding `json:"finding,omitempty"`
}

// finding is what a check must establish, without what the file itself says.
type finding struct {
	Promise    *Promise `json:"promise"`
	Commitment hexBytes `json:"commitment"`
	Statement  bool     `json:"statement"`
	Cosigned   bool     `json:"cosigned"`
	TreeSize   uint64   `json:"size,omitempty"`
}

type policyVector struct {
	Name   string `json:"name"`
	Text   string `json:"text"`
	Usable bool   `json:"usable"`
	Says   string `json:"says,omitempty"`
}

func TestReceiptVectors(t *testing.T) {
	made := receiptVectors{About: "Receipt files under one policy, and policies; see README.md", Policy: newScene(t).policyText}
	file := func(sc *scene) string {
		text, err := json.Marshal(sc.receipt)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, c := range goodReceipts {
		sc := newScene(t)
		c.change(t, sc)
		promise, err := ParsePromise(sc.receipt.Promise)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := ParseLeaf(sc.receipt.Leaf)
		if err != nil {
			t.Fatal(err)
		}
		f := &finding{Promise: promise, Commitment: leaf.Commitment[:], Statement: !c.bare, Cosigned: c.cosigned}
		if c.cosigned {
			f.TreeSize = 7
		}
		made.Receipts = append(made.Receipts, receiptVector{Name: c.name, File: file(sc), Result: "valid", Finding: f})
	}
	for _, c := range brokenReceipts {
		sc := newScene(t)
		c.change(t, sc)
		made.Receipts = append(made.Receipts, receiptVector{Name: c.name, File: file(sc), Result: "invalid", Says: c.says})
	}
	good := file(newScene(t))
	for _, c := range []struct{ name, file string }{
		{"an empty file", ""},
		{"another format", strings.Replace(good, "countersign-receipt", "countersign-receipt-2", 1)},
		{"an unknown member", strings.Replace(good, "{", `{"note":"trust me",`, 1)},
		{"something after it", good + "{}"},
		{"a file cut off", good[:len(good)-9]},
	} {
		made.Receipts = append(made.Receipts, receiptVector{Name: c.name, File: c.file, Result: "unusable", Says: "not a receipt"})
	}
	for _, c := range policies() {
		made.Policies = append(made.Policies, policyVector{c.name, c.text, c.says == "", c.says})
	}
	drift(t, "receipt/receipt.json", made)

	var read receiptVectors
	readVectors(t, "receipt/receipt.json", &read)
	if len(read.Receipts) < 40 || len(read.Policies) < 20 {
		t.Fatalf("%d receipts and %d policies were read", len(read.Receipts), len(read.Policies))
	}
	policy, err := ParsePolicy([]byte(read.Policy))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range read.Receipts {
		t.Run(v.Name, func(t *testing.T) {
			result, found := "valid", (*Finding)(nil)
			receipt, err := ParseReceipt([]byte(v.File))
			if err != nil {
				result = "unusable"
			} else if found, err = policy.Verify(receipt); err != nil {
				result = "invalid"
			}
			if result != v.Result || err != nil && !strings.Contains(MessageOf(err), v.Says) {
				t.Fatalf("%s: %v", result, err)
			}
			if v.Finding == nil {
				return
			}
			if *found.Promise != *v.Finding.Promise || !bytes.Equal(found.Leaf.Commitment[:], v.Finding.Commitment) ||
				(found.Statement != nil) != v.Finding.Statement || found.Cosigned != v.Finding.Cosigned || found.TreeSize != v.Finding.TreeSize {
				t.Errorf("%+v", found)
			}
		})
	}
	for _, v := range read.Policies {
		if _, err := ParsePolicy([]byte(v.Text)); (err == nil) != v.Usable {
			t.Errorf("policy %q: %v", v.Name, err)
		}
	}
}
