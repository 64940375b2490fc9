package exchange

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/httpsig"
	"countersign.dev/countersign/internal/xroad"
)

var update = flag.Bool("update", false, "write docs/spec/vectors/headers/headers.json anew")

const vectorFile = "../../docs/spec/vectors/headers/headers.json"

// The vectors' own types hold what a header says in plain words, so that they do not change with ours.
type (
	headerVectors struct {
		About     string            `json:"about"`
		Opening   []openingVector   `json:"opening"`
		Official  []officialVector  `json:"official"`
		Answering []answeringVector `json:"answering"`
		Receipt   []receiptVector   `json:"receipt"`
		Digest    []digestVector    `json:"headersDigest"`
		Trailer   []trailerVector   `json:"trailer"`
		Status    []statusVector    `json:"status"`
		Refused   []refusedVector   `json:"refused"`
	}
	openingVector struct {
		Header string             `json:"header"`
		Asked  countersign.Millis `json:"asked"`
		Half   countersign.Digest `json:"half"`
		MadeID bool               `json:"made"`
	}
	officialVector struct {
		Header   string               `json:"header"`
		Official countersign.Official `json:"official"`
	}
	answeringVector struct {
		Name      string                  `json:"name"`
		Header    string                  `json:"header"`
		CBOR      string                  `json:"cbor"`
		Outcome   countersign.Outcome     `json:"outcome"`
		Reasons   []countersign.Code      `json:"reasons"`
		Fields    []countersign.FieldPath `json:"fields"`
		Mandate   countersign.MandateRef  `json:"mandate"`
		Subject   string                  `json:"subject"`
		Answered  countersign.Millis      `json:"answered"`
		Half      countersign.Digest      `json:"half"`
		Directory uint64                  `json:"directory"`
		Headers   countersign.Digest      `json:"headers"`
		Streamed  bool                    `json:"streamed"`
	}
	receiptVector struct {
		Header    string `json:"header"`
		Promise   string `json:"promise"`
		Signature string `json:"signature"`
	}
	digestVector struct {
		Status  int                `json:"status"`
		Headers http.Header        `json:"headers"`
		Text    string             `json:"text"`
		Digest  countersign.Digest `json:"digest"`
	}
	trailerVector struct {
		Exchange      countersign.ExchangeID `json:"exchange"`
		ContentDigest string                 `json:"contentDigest"`
		Signed        string                 `json:"signed"`
	}
	refusedVector struct {
		Name   string   `json:"name"`
		Header string   `json:"header"`
		Values []string `json:"values"`
	}
)

func half(b byte) (h countersign.SaltHalf) {
	for i := range h {
		h[i] = b + byte(i)
	}
	return h
}

func sampleAnswering() *answering {
	return &answering{
		Outcome: countersign.OutcomeReleased, Reasons: []countersign.Code{}, Fields: []countersign.FieldPath{"/address/city", "/address/street"},
		Mandate:  countersign.MandateRef{Kind: countersign.MandateRelation, ID: "case:SA-2026/118", Digest: countersign.Digest(half(9))},
		Answered: 1772366400181, Half: half(40), Directory: 17, Headers: countersign.Digest(half(80)),
	}
}

func vectorOf(t *testing.T, name string, a *answering) answeringVector {
	t.Helper()
	text, err := a.header()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return answeringVector{name, text, hex.EncodeToString(raw), a.Outcome, a.Reasons, a.Fields, a.Mandate, a.Subject, a.Answered,
		countersign.Digest(a.Half), a.Directory, a.Headers, a.Streamed}
}

func makeVectors(t *testing.T) headerVectors {
	t.Helper()
	v := headerVectors{About: "Headers between gateways; see README.md"}
	for _, o := range []opening{
		{Asked: 1772366400123, Half: half(1)}, {Asked: 1, Half: half(200), MadeID: true}, {Asked: countersign.MaxMillis, Half: countersign.SaltHalf{}},
	} {
		v.Opening = append(v.Opening, openingVector{o.header(), o.Asked, countersign.Digest(o.Half), o.MadeID})
	}
	for _, o := range []countersign.Official{
		{Assurance: countersign.AssuranceAutomated},
		{Pseudonym: "MFRGGZDFMZTWQ2LK", Assurance: countersign.AssuranceAsserted},
		{Pseudonym: "MFRGGZDFMZTWQ2LK", Role: `case "worker"`, Assurance: countersign.AssuranceVerified},
	} {
		text, err := officialHeader(o)
		if err != nil {
			t.Fatal(err)
		}
		v.Official = append(v.Official, officialVector{text, o})
	}
	released, refused, streamed := sampleAnswering(), sampleAnswering(), sampleAnswering()
	refused.Outcome, refused.Fields, refused.Reasons = countersign.OutcomeRefused, []countersign.FieldPath{}, []countersign.Code{countersign.CodeForbiddenCell, countersign.CodeAssurance}
	refused.Mandate = countersign.MandateRef{}
	streamed.Streamed, streamed.Fields, streamed.Mandate = true, []countersign.FieldPath{"*"}, countersign.MandateRef{}
	found := sampleAnswering()
	found.Subject = "pin:7KQ2M9A"
	v.Answering = []answeringVector{vectorOf(t, "released", released), vectorOf(t, "refused", refused), vectorOf(t, "streamed", streamed), vectorOf(t, "the subject was found in the answer", found)}

	promise := (&countersign.Promise{Origin: "population.example/log", Index: 300, Leaf: countersign.Digest(half(3)), Time: 1772366400185}).Encode()
	signature := bytes.Repeat([]byte{0xa5}, 134)
	v.Receipt = []receiptVector{{promiseHeader(promise, signature), hex.EncodeToString(promise), hex.EncodeToString(signature)}}

	h := http.Header{"Content-Type": {"application/json"}, "X-Several": {"one", "two"}, "Etag": {`"7"`}}
	v.Digest = []digestVector{
		{200, h, "200\ncontent-type:application/json\netag:\"7\"\nx-several:one\nx-several:two\n", headersDigest(200, h)},
		{204, http.Header{}, "204\n", headersDigest(204, http.Header{})},
	}
	id := countersign.ExchangeID{0x01, 0x95, 0x50, 0x8a, 0x1c, 0x7b, 0x70, 0x01, 0x80, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08}
	content := "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
	v.Trailer = []trailerVector{{id, content, string(trailerSigned(id, content))}}
	v.Status = makeStatusVectors(t, id)
	v.Refused = refusedHeaders(t)
	return v
}

// refusedHeaders are values that a gateway must refuse, by the header's name.
func refusedHeaders(t *testing.T) []refusedVector {
	t.Helper()
	salt := ":" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + ":"
	good := "asked=1772366400123, salt=" + salt
	answer, err := sampleAnswering().header()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(answer)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(change func([]byte) []byte) string {
		return base64.StdEncoding.EncodeToString(change(bytes.Clone(raw)))
	}
	exchange, official, answering, receipt := "Countersign-Exchange", "Countersign-Official", "Countersign-Answer", "Countersign-Receipt"
	return []refusedVector{
		{"no value", exchange, nil},
		{"two values", exchange, []string{good, good}},
		{"one dictionary in two values", exchange, []string{"asked=1772366400123", "salt=" + salt}},
		{"no salt", exchange, []string{"asked=1772366400123"}},
		{"no time", exchange, []string{"salt=" + salt}},
		{"a salt of 31 bytes", exchange, []string{"asked=1772366400123, salt=:" + base64.StdEncoding.EncodeToString(make([]byte, 31)) + ":"}},
		{"a salt that is a string", exchange, []string{`asked=1772366400123, salt="` + strings.Repeat("a", 32) + `"`}},
		{"a time of zero", exchange, []string{"asked=0, salt=" + salt}},
		{"a negative time", exchange, []string{"asked=-1, salt=" + salt}},
		{"a time with a fraction", exchange, []string{"asked=1772366400.5, salt=" + salt}},
		{"the year 10000", exchange, []string{"asked=253402300800000, salt=" + salt}},
		{"an unknown key", exchange, []string{good + ", again"}},
		{"made is false", exchange, []string{good + ", made=?0"}},
		{"made is a word", exchange, []string{good + ", made=yes"}},
		{"a list where an item is due", exchange, []string{"asked=(1), salt=" + salt}},
		{"no value", official, nil},
		{"two values", official, []string{`"A";assurance=asserted`, `"A";assurance=asserted`}},
		{"no assurance", official, []string{`"A"`}},
		{"an unknown assurance", official, []string{`"A";assurance=certain`}},
		{"an assurance that is a string", official, []string{`"A";assurance="asserted"`}},
		{"an unknown parameter", official, []string{`"A";assurance=asserted;name="B"`}},
		{"a role that is a token", official, []string{`"A";role=head;assurance=asserted`}},
		{"automated, with a pseudonym", official, []string{`"A";assurance=automated`}},
		{"asserted, without a pseudonym", official, []string{`"";assurance=asserted`}},
		{"a token for a pseudonym", official, []string{`A;assurance=asserted`}},
		{"no value", answering, nil},
		{"an empty value", answering, []string{""}},
		{"two values", answering, []string{answer, answer}},
		{"no base64", answering, []string{"?" + answer[1:]}},
		{"base64 with another alphabet's end", answering, []string{strings.TrimRight(answer, "=") + "\n"}},
		{"another version", answering, []string{changed(func(b []byte) []byte { b[1] = 2; return b })}},
		{"no outcome", answering, []string{changed(func(b []byte) []byte { b[2] = 0; return b })}},
		{"an outcome of the consumer's", answering, []string{changed(func(b []byte) []byte { b[2] = 4; return b })}},
		{"an array of 12", answering, []string{changed(func(b []byte) []byte { b[0] = 0x8c; return b })}},
		{"an array of 14", answering, []string{changed(func(b []byte) []byte { b[0] = 0x8e; return append(b, 0) })}},
		{"a map", answering, []string{changed(func(b []byte) []byte { b[0] = 0xad; return b })}},
		{"a byte after it", answering, []string{changed(func(b []byte) []byte { return append(b, 0) })}},
		{"cut off", answering, []string{changed(func(b []byte) []byte { return b[:len(b)-1] })}},
		{"a field that is not UTF-8", answering, []string{changed(func(b []byte) []byte { b[bytes.Index(b, []byte("city"))] = 0xff; return b })}},
		{"over 64 KiB", answering, []string{answer + strings.Repeat("A", 1<<16)}},
		{"no value", receipt, nil},
		{"two values", receipt, []string{":AA==:", ":AA==:"}},
		{"a promise alone", receipt, []string{":AA==:"}},
		{"three byte sequences", receipt, []string{":AA==:, :AA==:, :AA==:"}},
		{"strings", receipt, []string{`"AA==", "AA=="`}},
		{"an inner list", receipt, []string{"(:AA==: :AA==:), :AA==:"}},
		{"no value", HeaderStatus, nil},
		{"two values", HeaderStatus, []string{"unknown", "unknown"}},
		{"a word that there is not", HeaderStatus, []string{"lost"}},
		{"upper case", HeaderStatus, []string{"Unknown"}},
		{"a list", HeaderStatus, []string{"unknown, pending"}},
		{"recorded, without a record", HeaderStatus, []string{"recorded"}},
	}
}

func TestHeaderVectors(t *testing.T) {
	made := makeVectors(t)
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(made); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(vectorFile, buf.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, buf.Bytes()) {
		t.Errorf("%s no longer says what the code does: a change of format needs a new version, or run go test -run Vectors -update", vectorFile)
	}
	var v headerVectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Opening) < 3 || len(v.Official) < 3 || len(v.Answering) < 4 || len(v.Refused) < 40 {
		t.Fatalf("too few vectors were read: %+v", v)
	}
	for _, o := range v.Opening {
		got, err := parseOpening([]string{o.Header})
		if err != nil || got != (opening{o.Asked, countersign.SaltHalf(o.Half), o.MadeID}) {
			t.Errorf("%s: %+v, %v", o.Header, got, err)
		}
	}
	for _, o := range v.Official {
		if got, err := parseOfficial([]string{o.Header}); err != nil || got != o.Official {
			t.Errorf("%s: %+v, %v", o.Header, got, err)
		}
	}
	for _, a := range v.Answering {
		want := &answering{a.Outcome, a.Reasons, a.Fields, a.Mandate, a.Subject, a.Answered, countersign.SaltHalf(a.Half), a.Directory, a.Headers, a.Streamed}
		if got, err := parseAnswering([]string{a.Header}); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", a.Name, got, err)
		}
	}
	for _, r := range v.Receipt {
		promise, signature, err := ParsePromiseHeader([]string{r.Header})
		if err != nil || hex.EncodeToString(promise) != r.Promise || hex.EncodeToString(signature) != r.Signature {
			t.Errorf("%s: %x, %x, %v", r.Header, promise, signature, err)
		}
	}
}

func TestHeadersRefused(t *testing.T) {
	for _, v := range refusedHeaders(t) {
		t.Run(v.Header+" "+v.Name, func(t *testing.T) {
			var err error
			due := countersign.CodeBadRequest
			switch v.Header {
			case headerExchange:
				_, err = parseOpening(v.Values)
			case HeaderOfficial:
				_, err = parseOfficial(v.Values)
			case headerAnswer:
				_, err = parseAnswering(v.Values)
				due = countersign.CodeInconsistent
			case HeaderReceipt:
				_, _, err = ParsePromiseHeader(v.Values)
				due = countersign.CodeNoReceipt
			case HeaderStatus:
				id := countersign.NewExchangeID(time.Unix(1772366400, 0))
				_, err = parseStatus(http.Header{HeaderStatus: v.Values, xroad.HeaderRequestID: {id.String()}}, id)
				due = countersign.CodeInconsistent
			default:
				t.Fatalf("no parser for %s", v.Header)
			}
			if !errors.Is(err, due) || countersign.CodeOf(err) != due {
				t.Errorf("%v: %s is due", err, due)
			}
		})
	}
}

func TestHeadersRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 20, 60)
		digest := func(name string) (d [32]byte) {
			copy(d[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, name))
			return d
		}
		o := opening{countersign.Millis(rapid.Int64Range(1, int64(countersign.MaxMillis)).Draw(t, "asked")), digest("half"), rapid.Bool().Draw(t, "made")}
		if got, err := parseOpening([]string{o.header()}); err != nil || got != o {
			t.Fatalf("%+v came back as %+v: %v", o, got, err)
		}
		a := &answering{
			Outcome:  countersign.Outcome(rapid.IntRange(1, 3).Draw(t, "outcome")),
			Reasons:  named[countersign.Code](rapid.SliceOfN(text, 0, 3).Draw(t, "reasons")),
			Fields:   named[countersign.FieldPath](rapid.SliceOfN(text, 0, 20).Draw(t, "fields")),
			Mandate:  countersign.MandateRef{Kind: countersign.MandateKind(rapid.IntRange(0, 5).Draw(t, "kind")), ID: countersign.MandateID(text.Draw(t, "id")), Digest: digest("mandate")},
			Subject:  text.Draw(t, "subject"),
			Answered: countersign.Millis(rapid.Int64Range(0, int64(countersign.MaxMillis)).Draw(t, "answered")), Half: digest("provider half"),
			Directory: rapid.Uint64().Draw(t, "directory"), Headers: digest("headers"), Streamed: rapid.Bool().Draw(t, "streamed"),
		}
		header, err := a.header()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseAnswering([]string{header}); err != nil || !reflect.DeepEqual(got, a) {
			t.Fatalf("%+v came back as %+v: %v", a, got, err)
		}
		off := countersign.Official{Pseudonym: rapid.StringMatching(`[A-Z2-7]{16}`).Draw(t, "pseudonym"), Role: rapid.StringMatching(`[ -~]{0,20}`).Draw(t, "role"), Assurance: countersign.AssuranceVerified}
		if header, err = officialHeader(off); err != nil {
			t.Fatal(err)
		}
		if got, err := parseOfficial([]string{header}); err != nil || got != off {
			t.Fatalf("%+v came back as %+v: %v", off, got, err)
		}
	})
}

// TestAskedIsHeldToTheClock: nobody asks as of a time at which an authority was still good.
func TestAskedIsHeldToTheClock(t *testing.T) {
	now := time.Unix(1772366400, 0)
	for ago, good := range map[time.Duration]bool{
		0: true, 5 * time.Second: true, 5 * time.Minute: true, 5*time.Minute + 5*time.Second: true, -5 * time.Second: true,
		5*time.Minute + 6*time.Second: false, 24 * time.Hour: false, -6 * time.Second: false, -24 * time.Hour: false,
	} {
		err := opening{Asked: countersign.MillisOf(now.Add(-ago))}.checkAsked(now, countersign.NewExchangeID(now.Add(-ago)))
		if (err == nil) != good || err != nil && !errors.Is(err, countersign.CodeClock) {
			t.Errorf("asked %s ago: %v", ago, err)
		}
	}
	if err := (opening{Asked: countersign.MaxMillis}).checkAsked(now, countersign.NewExchangeID(now)); !errors.Is(err, countersign.CodeClock) {
		t.Errorf("asked in the year 9999: %v", err)
	}
}

// TestAnotherHeaderIsAnotherDigest: every header that passes, and the status, are under the signature by this digest.
func TestAnotherHeaderIsAnotherDigest(t *testing.T) {
	base := func() http.Header { return http.Header{"Content-Type": {"application/json"}, "X-A": {"1", "2"}} }
	seen := map[countersign.Digest]string{headersDigest(200, base()): "the answer itself"}
	for name, change := range map[string]func(http.Header){
		"a value changed": func(h http.Header) { h["X-A"] = []string{"1", "3"} }, "values in another order": func(h http.Header) { h["X-A"] = []string{"2", "1"} },
		"a value less": func(h http.Header) { h["X-A"] = []string{"1"} }, "values joined": func(h http.Header) { h["X-A"] = []string{"1, 2"} },
		"a header more": func(h http.Header) { h["X-B"] = []string{""} }, "a header less": func(h http.Header) { delete(h, "X-A") },
	} {
		h := base()
		change(h)
		d := headersDigest(200, h)
		if was, taken := seen[d]; taken {
			t.Errorf("%s has the digest of %s", name, was)
		}
		seen[d] = name
	}
	if _, taken := seen[headersDigest(201, base())]; taken {
		t.Error("another status has the same digest")
	}
}

func FuzzAnswering(f *testing.F) {
	header, err := sampleAnswering().header()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(header)
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseAnswering([]string{text})
		if err != nil {
			if countersign.CodeOf(err) != countersign.CodeInconsistent {
				t.Errorf("%v", err)
			}
			return
		}
		again, err := a.header()
		if err != nil {
			t.Fatal(err)
		}
		if second, err := parseAnswering([]string{again}); err != nil || !reflect.DeepEqual(second, a) {
			t.Errorf("%+v came back as %+v: %v", a, second, err)
		}
	})
}

// namedSigner is asked for the name of its key and its algorithm only.
type namedSigner struct{ httpsig.MessageSigner }

func (namedSigner) Algorithm() countersign.SignatureAlgorithm { return countersign.AlgorithmTree }
func (namedSigner) KeyID() countersign.KeyID                  { return "k" }

// TestProfilesAreDocumented holds the protocol's lists of signed components to the profiles.
func TestProfilesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	// The lists stand in blocks of their own that begin with a quoted component; * marks what may be absent.
	var lists []string
	for _, block := range regexp.MustCompile("(?ms)^```\n(\"[^`]+)^```").FindAllStringSubmatch(string(page), -1) {
		lists = append(lists, strings.Join(strings.Fields(strings.ReplaceAll(block[1], "*", "")), " "))
	}
	if len(lists) != 3 {
		t.Fatalf("the protocol has %d lists of components", len(lists))
	}
	_, answer, _ := strings.Cut(string(page), "## 10. The signed answer")
	answer, _, _ = strings.Cut(answer, "\n## ")
	if rows := regexp.MustCompile(`(?m)^\| [0-9]+ \|`).FindAllString(answer, -1); len(rows) != answeringHead&0x1f {
		t.Errorf("the protocol has %d rows for the %d elements of Countersign-Answer", len(rows), answeringHead&0x1f)
	}
	p, err := newProfiles()
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	for _, name := range []string{"Content-Digest", headerExchange, headerRequestHash, HeaderPurpose, HeaderBasis, HeaderOfficial, HeaderMandate, headerStanding, headerAnswer, HeaderReceipt, "X-Road-Request-Hash", "X-Road-Request-Id", HeaderStatus, headerAnswerDigest} {
		h.Set(name, "v")
	}
	for _, c := range []struct {
		name    string
		profile *httpsig.Profile
		message httpsig.Message
		list    string
	}{
		{"request", p.request, httpsig.Message{Method: "GET", Path: "/", Header: h}, lists[0]},
		{"answer", p.response, httpsig.OfResponse(200, h), lists[1]},
		{"status", p.status, httpsig.OfResponse(200, h), lists[2]},
		{"streamed answer", p.stream, httpsig.OfResponse(200, h), strings.TrimPrefix(lists[1], `"content-digest" `)},
	} {
		prepared, err := c.profile.Prepare(namedSigner{}, c.message, time.Unix(1772366400, 0), "")
		if err != nil {
			t.Fatal(err)
		}
		if input := prepared.Headers(nil).Input; !strings.HasPrefix(input, "countersign=("+c.list+");created=1772366400;expires=1772366700;keyid=") {
			t.Errorf("the %s signs %s; the protocol says %s", c.name, input, c.list)
		}
	}
	for _, name := range []string{"Countersign-Mandate", "Countersign-Standing"} {
		without := h.Clone()
		without.Del(name)
		if _, err := p.request.Prepare(namedSigner{}, httpsig.Message{Method: "GET", Path: "/", Header: without}, time.Unix(1772366400, 0), ""); err != nil {
			t.Errorf("without %s: %v", name, err)
		}
		if !strings.Contains(string(page), `"`+strings.ToLower(name)+`"*`) {
			t.Errorf("the protocol does not say that %s may be absent", name)
		}
	}
}
