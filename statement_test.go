package countersign

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// sampleStatement has every element filled.
func sampleStatement() *Statement {
	return &Statement{
		Exchange: ExchangeID{0x01, 0x95, 0x50, 0x8a, 0x1c, 0x7b, 0x70, 0x01, 0x80, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08},
		Consumer: SubsystemID{MemberID{"DEMO", "GOV", "1005"}, "benefits"}, Service: ServiceID{SubsystemID{MemberID{"DEMO", "GOV", "1001"}, "people"}, "residence"},
		OnBehalfOf: []string{"COM/2001"}, Subject: "pin:7KQ2M9A", Purpose: "benefit-decision", Basis: "social-aid-12", Case: "SA-2026/118",
		Mandate:  MandateRef{Kind: MandateRelation, ID: "case:SA-2026/118", Digest: Digest(sha256.Sum256([]byte("token")))},
		Official: Official{Pseudonym: "MFRGGZDFMZTWQ2LK", Role: "caseworker", Assurance: AssuranceVerified},
		Fields:   []FieldPath{"/address/city", "/address/street"}, Outcome: OutcomeReleased, Reasons: []Code{},
		Asked: 1772366400123, Answered: 1772366400181, Request: SaltedDigest{1, 2, 3}, Answer: SaltedDigest{4, 5, 6}, Directory: 17,
	}
}

func parseStatementOnly(b []byte) error { _, err := ParseStatement(b); return err }

func drawStatement(t *rapid.T) *Statement {
	text := rapid.StringN(0, 20, 60)
	digest := func(name string) (d [32]byte) {
		copy(d[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, name))
		return d
	}
	s := &Statement{
		Service: drawService(t), Consumer: drawService(t).SubsystemID, OnBehalfOf: rapid.SliceOfN(text, 0, 3).Draw(t, "behalf"),
		Subject: text.Draw(t, "subject"), Purpose: PurposeCode(text.Draw(t, "purpose")), Basis: BasisCode(text.Draw(t, "basis")), Case: CaseRef(text.Draw(t, "case")),
		Mandate:  MandateRef{MandateKind(rapid.Byte().Draw(t, "mandate")), MandateID(text.Draw(t, "mandate id")), digest("mandate digest")},
		Official: Official{text.Draw(t, "pseudonym"), text.Draw(t, "role"), Assurance(rapid.Byte().Draw(t, "assurance"))},
		Fields:   rapid.SliceOfN(rapid.Map(text, func(s string) FieldPath { return FieldPath(s) }), 0, 30).Draw(t, "fields"),
		Outcome:  Outcome(rapid.IntRange(1, 3).Draw(t, "outcome")),
		Reasons:  rapid.SliceOfN(rapid.Map(text, func(s string) Code { return Code(s) }), 0, 3).Draw(t, "reasons"),
		Asked:    Millis(rapid.Int64Range(0, int64(MaxMillis)).Draw(t, "asked")), Answered: Millis(rapid.Int64Range(0, int64(MaxMillis)).Draw(t, "answered")),
		Request: digest("request"), Answer: digest("answer"), Directory: rapid.Uint64().Draw(t, "directory"),
	}
	copy(s.Exchange[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "exchange"))
	if rapid.Bool().Draw(t, "member alone") {
		s.Consumer.Subsystem = ""
	}
	return s
}

func TestStatementRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawStatement(t)
		text := s.Encode()
		top, err := readDeterministic(text)
		if err != nil || len(top.items) != 23 {
			t.Fatalf("%x: %v", text, err)
		}
		got, err := ParseStatement(text)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, s) {
			t.Fatalf("%+v came back as %+v", s, got)
		}
		if again := got.Encode(); string(again) != string(text) {
			t.Fatalf("%x is written again as %x", text, again)
		}
	})
}

func TestStatementEmptyIsEmpty(t *testing.T) {
	s := sampleStatement()
	s.OnBehalfOf, s.Fields, s.Reasons = nil, nil, nil
	got, err := ParseStatement(s.Encode())
	if err != nil {
		t.Fatal(err)
	}
	// One spelling in JSON too: an empty list, never null.
	if got.OnBehalfOf == nil || got.Fields == nil || got.Reasons == nil || len(got.OnBehalfOf)+len(got.Fields)+len(got.Reasons) != 0 {
		t.Errorf("%#v", got)
	}
	empty := *s
	empty.OnBehalfOf, empty.Fields, empty.Reasons = []string{}, []FieldPath{}, []Code{}
	if string(empty.Encode()) != string(s.Encode()) {
		t.Error("an empty list and none are written differently")
	}
}

func TestStatementHasOneForm(t *testing.T) {
	refusedForms(t, sampleStatement().Encode(), parseStatementOnly)
	refused := sampleStatement()
	refused.OnBehalfOf, refused.Fields, refused.Outcome, refused.Reasons, refused.Subject = nil, nil, OutcomeRefused, []Code{CodeForbiddenCell, CodeAssurance}, ""
	refusedForms(t, refused.Encode(), parseStatementOnly)
}

func TestStatementRefusesSense(t *testing.T) {
	valid := sampleStatement().Encode()
	for _, c := range []struct {
		name string
		item int
		to   []byte
		says string
	}{
		{"another version", 0, []byte{2}, "version 2"},
		{"an exchange id of 15 bytes", 1, append([]byte{0x4f}, make([]byte, 15)...), "15 bytes where 16"},
		{"a consumer without class", 2, append([]byte{0x69}, "DEMO/1005"...), "2 parts"},
		{"a service without code", 3, append([]byte{0x6f}, "DEMO/GOV/1001/p"...), "4 parts"},
		{"a mandate digest of 33 bytes", 11, append([]byte{0x58, 33}, make([]byte, 33)...), "33 bytes where 32"},
		{"an outcome of the consumer's", 16, []byte{byte(OutcomeReceived)}, "outcome 4"},
		{"no outcome", 16, []byte{0}, "outcome 0"},
		{"a time that turns negative", 18, []byte{0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0}, "time of asking"},
		{"an answer in the year 10000", 19, cborHead(0, uint64(MaxMillis)+1, -1), "time of answering"},
		{"no request digest", 20, []byte{0x40}, "0 bytes where 32"},
	} {
		t.Run(c.name, func(t *testing.T) {
			top, err := readDeterministic(valid)
			if err != nil {
				t.Fatal(err)
			}
			changed := top.write(func(it *cborItem) []byte {
				if it == top.items[c.item] {
					return c.to
				}
				return nil
			})
			err = parseStatementOnly(changed)
			if !errors.Is(err, CodeBadRequest) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v: a bad_request that says %q is due", err, c.says)
			}
		})
	}
	impossible := sampleStatement()
	impossible.Answered = -1
	if err := parseStatementOnly(impossible.Encode()); !errors.Is(err, CodeBadRequest) {
		t.Errorf("an answer before 1970 is read: %v", err)
	}
}

func FuzzParseStatement(f *testing.F) {
	valid := sampleStatement().Encode()
	f.Add(valid)
	for _, m := range mutations(f, valid) {
		f.Add(m.bytes)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseStatement(b)
		if err != nil {
			if c := CodeOf(err); c != CodeBadRequest && c != CodeTooLarge {
				t.Errorf("%s", c)
			}
			return
		}
		if _, err := readDeterministic(b); err != nil {
			t.Errorf("%x is accepted: %v", b, err)
		}
		if got := s.Encode(); string(got) != string(b) {
			t.Errorf("%x is written again as %x", b, got)
		}
	})
}

// changes alters each element of a statement by itself.
var changes = []struct {
	name   string
	change func(*Statement)
}{
	{"exchange", func(s *Statement) { s.Exchange[15] ^= 1 }},
	{"consumer", func(s *Statement) { s.Consumer.Subsystem = "other" }},
	{"consumer, the member itself", func(s *Statement) { s.Consumer.Subsystem = "" }},
	{"service", func(s *Statement) { s.Service.Service = "person" }},
	{"on behalf of, one more", func(s *Statement) { s.OnBehalfOf = append(slices.Clone(s.OnBehalfOf), "COM/2002") }},
	{"on behalf of, nobody", func(s *Statement) { s.OnBehalfOf = nil }},
	{"subject", func(s *Statement) { s.Subject = "pin:7KQ2M9B" }},
	{"purpose", func(s *Statement) { s.Purpose = "permit" }},
	{"basis", func(s *Statement) { s.Basis = "social-aid-13" }},
	{"case", func(s *Statement) { s.Case = "" }},
	{"mandate kind", func(s *Statement) { s.Mandate.Kind = MandateConsent }},
	{"mandate", func(s *Statement) { s.Mandate.ID = "case:other" }},
	{"mandate digest", func(s *Statement) { s.Mandate.Digest[0] ^= 1 }},
	{"official", func(s *Statement) { s.Official.Pseudonym = "other" }},
	{"role", func(s *Statement) { s.Official.Role = "head" }},
	{"assurance", func(s *Statement) { s.Official.Assurance = AssuranceAsserted }},
	{"a field more", func(s *Statement) { s.Fields = append(slices.Clone(s.Fields), "/name") }},
	{"a field less", func(s *Statement) { s.Fields = s.Fields[:1] }},
	{"two fields as one", func(s *Statement) { s.Fields = []FieldPath{s.Fields[0] + s.Fields[1]} }},
	{"outcome", func(s *Statement) { s.Outcome = OutcomeRefused }},
	{"a reason", func(s *Statement) { s.Reasons = []Code{CodeForbiddenCell} }},
	{"asked", func(s *Statement) { s.Asked++ }},
	{"answered", func(s *Statement) { s.Answered++ }},
	{"request", func(s *Statement) { s.Request[31] ^= 1 }},
	{"answer", func(s *Statement) { s.Answer = SaltedDigest{} }},
	{"directory", func(s *Statement) { s.Directory++ }},
}

func TestCommitmentDiffersOnAnyChange(t *testing.T) {
	salt := JoinSalt(SaltHalf{1}, SaltHalf{2})
	text := sampleStatement().Encode()
	committed := salt.Commit(text)
	if !salt.Opens(committed, text) {
		t.Fatal("the statement does not open its own commitment")
	}
	seen := map[Commitment]string{committed: "the statement itself"}
	for _, c := range changes {
		s := sampleStatement()
		c.change(s)
		got := salt.Commit(s.Encode())
		if was, taken := seen[got]; taken {
			t.Errorf("%s has the commitment of %s", c.name, was)
		}
		seen[got] = c.name
		if salt.Opens(committed, s.Encode()) {
			t.Errorf("%s: another statement opens the commitment", c.name)
		}
	}
	if other := JoinSalt(SaltHalf{2}, SaltHalf{1}); other == salt || other.Opens(committed, text) {
		t.Error("the halves may be exchanged")
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawStatement(t).Encode(), drawStatement(t).Encode()
		if string(a) != string(b) && salt.Commit(a) == salt.Commit(b) {
			t.Fatalf("%x and %x have one commitment", a, b)
		}
	})
}

// TestSaltByHand computes salt, commitment and blinding from the sentences of docs/spec/protocol.md.
func TestSaltByHand(t *testing.T) {
	var a, b SaltHalf
	for i := range a {
		a[i], b[i] = byte(i), byte(0xff-i)
	}
	salt := sha256.Sum256([]byte("countersign salt\x00" + string(a[:]) + string(b[:])))
	if JoinSalt(a, b) != salt {
		t.Error("the salt is not SHA-256 of label, zero byte and the halves")
	}
	by := func(label string, content []byte) []byte {
		mac := hmac.New(sha256.New, salt[:])
		mac.Write([]byte("countersign " + label + "\x00" + string(content)))
		return mac.Sum(nil)
	}
	text := sampleStatement().Encode()
	if got := Salt(salt).Commit(text); string(got[:]) != string(by("commitment", text)) {
		t.Error("the commitment is not HMAC-SHA-256 of label, zero byte and statement")
	}
	digest := sha256.Sum256([]byte("body"))
	request, answer := Salt(salt).Blind("request", digest[:]), Salt(salt).Blind("answer", digest[:])
	if string(request[:]) != string(by("request", digest[:])) || string(answer[:]) != string(by("answer", digest[:])) || request == answer {
		t.Error("a blinded digest is not HMAC-SHA-256 of label, zero byte and digest")
	}
}

func TestSortFields(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOf(rapid.SampledFrom([]FieldPath{"/a", "/b", "/a/b", "*", "/ə"})).Draw(t, "fields")
		out := SortFields(slices.Clone(in))
		if !slices.IsSorted(out) || len(slices.Compact(slices.Clone(out))) != len(out) {
			t.Fatalf("%v", out)
		}
		for _, f := range in {
			if !slices.Contains(out, f) {
				t.Fatalf("%s is lost", f)
			}
		}
	})
}

func TestWords(t *testing.T) {
	type words struct {
		Outcome   Outcome
		Side      Side
		Mandate   MandateKind
		Assurance Assurance
		Kind      LeafKind
	}
	for outcome := OutcomeReleased; outcome <= OutcomeNotAccepted; outcome++ {
		for kind := LeafExchange; kind <= LeafView; kind++ {
			was := words{outcome, SideConsumer + Side(kind%2), MandateKind(kind % 6), 1 + Assurance(kind%3), kind}
			text, err := json.Marshal(was)
			if err != nil {
				t.Fatal(err)
			}
			var got words
			if err := json.Unmarshal(text, &got); err != nil || got != was {
				t.Fatalf("%s came back as %v: %v", text, got, err)
			}
		}
	}
	for _, bad := range []string{`{"Outcome":"done"}`, `{"Outcome":""}`, `{"Side":"both"}`, `{"Side":""}`, `{"Mandate":"oral"}`, `{"Assurance":"sure"}`, `{"Assurance":""}`, `{"Kind":"unknown"}`} {
		var got words
		if err := json.Unmarshal([]byte(bad), &got); !errors.Is(err, CodeBadRequest) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if s := Outcome(0).String() + Outcome(9).String() + Side(3).String() + Assurance(0).String(); s != "" {
		t.Errorf("unknown values have the words %q", s)
	}
}

// One keyed salt gives in turn what the salt gives each time anew, whatever the lengths: it uses its room again.
func TestKeyedSaltInTurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var salt Salt
		copy(salt[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "salt"))
		keyed := salt.Keyed()
		for range rapid.IntRange(1, 5).Draw(t, "turns") {
			text := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "text")
			label := rapid.StringN(0, 200, 200).Draw(t, "label")
			if got := keyed.Blind(label, text); got != salt.Blind(label, text) {
				t.Fatalf("Blind(%q, %x) = %x", label, text, got)
			}
			if got := keyed.Commit(text); got != salt.Commit(text) {
				t.Fatalf("Commit(%x) = %x", text, got)
			}
		}
	})
}

func TestCommitsMakesTheLeafThatIsOwed(t *testing.T) {
	st := benchStatement()
	var salt Salt
	text, leaf := salt.Keyed().Commits(st, SideProvider, OutcomeReleased)
	if owed := ExchangeLeaf(st, SideProvider, OutcomeReleased, salt.Commit(st.Encode())); *leaf != *owed || string(text) != string(st.Encode()) {
		t.Errorf("%+v, want %+v", leaf, owed)
	}
}

func benchStatement() *Statement {
	party := SubsystemID{MemberID{"DEMO", "GOV", "POP"}, "registry"}
	return &Statement{
		Exchange: NewExchangeID(Millis(1_800_000_000_000).Time()), Consumer: SubsystemID{MemberID{"DEMO", "GOV", "MUN"}, "desk"}, Service: ServiceID{party, "person"},
		Subject: "pin:4B7QX2Z", Purpose: "property-tax", Basis: "tax-code-202", Official: Official{"P3X5", "clerk", AssuranceVerified},
		Fields: []FieldPath{"/address", "/name"}, Outcome: OutcomeReleased, Asked: 1_800_000_000_000, Answered: 1_800_000_000_010, Directory: 7,
	}
}

// BenchmarkCommit is what each side computes for the record of an exchange.
func BenchmarkCommit(b *testing.B) {
	st := benchStatement()
	digest := make([]byte, 32)
	b.ReportAllocs()
	for b.Loop() {
		keyed := Salt{1}.Keyed()
		st.Request, st.Answer = keyed.Blind("request", digest), keyed.Blind("answer", digest)
		_, leaf := keyed.Commits(st, SideProvider, OutcomeReleased)
		leaf.Encode()
	}
}
