package exchange

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/httpsig"
	"countersign.dev/countersign/internal/xroad"
)

// statusVector is what a provider's gateway says of an exchange, and the text that it signs, by a key with the identifier "k" in
// countersign-tree.
type statusVector struct {
	Exchange string `json:"exchange"`
	Status   string `json:"status"`
	Answer   string `json:"answer,omitempty"`
	Digest   string `json:"answerDigest,omitempty"`
	Receipt  string `json:"receipt,omitempty"`
	Base     string `json:"base"`
}

func makeStatusVectors(t *testing.T, id countersign.ExchangeID) (out []statusVector) {
	t.Helper()
	p, err := newProfiles()
	if err != nil {
		t.Fatal(err)
	}
	answer, err := sampleAnswering().header()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []statusVector{
		{Status: "unknown"}, {Status: "pending"},
		{Status: "recorded", Answer: answer, Digest: countersign.Digest(half(60)).String(), Receipt: promiseHeader([]byte("promise"), []byte("signature"))},
	} {
		v.Exchange = id.String()
		prepared, err := p.status.Prepare(namedSigner{}, httpsig.OfResponse(http.StatusOK, v.header()), time.Unix(1772366400, 0), "")
		if err != nil {
			t.Fatal(err)
		}
		v.Base = string(prepared.Base)
		out = append(out, v)
	}
	return out
}

func (v *statusVector) header() http.Header {
	h := http.Header{xroad.HeaderRequestID: {v.Exchange}, HeaderStatus: {v.Status}}
	for name, value := range map[string]string{headerAnswer: v.Answer, headerAnswerDigest: v.Digest, HeaderReceipt: v.Receipt} {
		if value != "" {
			h.Set(name, value)
		}
	}
	return h
}

func TestStatusVectors(t *testing.T) {
	id, err := countersign.ParseExchangeID("0195509d-0f7b-7e22-a9c2-1b7d52c8f301")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range makeStatusVectors(t, id) {
		s, err := parseStatus(v.header(), id)
		if err != nil || string(s.standing) != v.Status || (s.answering != nil) != (v.Answer != "") {
			t.Errorf("%s: %+v, %v", v.Status, s, err)
		}
		// What is said of one exchange says nothing of another.
		if _, err := parseStatus(v.header(), countersign.NewExchangeID(time.Unix(1772366400, 0))); !errors.Is(err, countersign.CodeInconsistent) {
			t.Errorf("%s of another exchange: %v", v.Status, err)
		}
	}
}

// TestAnIDIsOfItsTime: an exchange id that was made at another time than its question was asked is refused, so that an id of which a provider has
// said that it is unknown cannot come to life again.
func TestAnIDIsOfItsTime(t *testing.T) {
	now := time.Unix(1772366400, 0)
	o := opening{Asked: countersign.MillisOf(now)}
	for by, good := range map[time.Duration]bool{
		0: true, 5 * time.Second: true, -5 * time.Second: true, 6 * time.Second: false, -6 * time.Second: false, -ReplayWindow: false, -24 * time.Hour: false,
	} {
		err := o.checkAsked(now, countersign.NewExchangeID(now.Add(by)))
		if (err == nil) != good || err != nil && !errors.Is(err, countersign.CodeClock) {
			t.Errorf("made %s after: %v", by, err)
		}
	}
	if err := o.checkAsked(now, countersign.ExchangeID{1, 2, 3}); !errors.Is(err, countersign.CodeClock) {
		t.Errorf("no UUID of version 7: %v", err)
	}
}

// TestUnsettledForgetsWhatIsClosed: an exchange that was closed although its writer was told of a failure is open no more.
func TestUnsettledForgetsWhatIsClosed(t *testing.T) {
	u := newUnsettled()
	open, closed := countersign.ExchangeID{1}, countersign.ExchangeID{2}
	u.leave(open, countersign.CodeNetwork)
	u.leave(closed, countersign.CodeStore)
	known := u.ids()
	later := countersign.ExchangeID{3}
	u.leave(later, countersign.CodeNetwork)
	u.keep(known, func(id countersign.ExchangeID) bool { return id == open })
	if !u.has(open) || u.has(closed) || !u.has(later) {
		t.Errorf("open %t, closed %t, left later %t", u.has(open), u.has(closed), u.has(later))
	}
	if !errors.Is(u.reason(open), countersign.CodeNetwork) {
		t.Errorf("its reason is %v", u.reason(open))
	}
}
