package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/keys"
)

// gatewayRow is a server that stands for gateways which an overseer asks: each is a path of its own.
type gatewayRow struct {
	overseer tls.Certificate
	pin      keys.SPKIDigest // the server's
	server   *httptest.Server
}

// newGatewayRow admits the overseer's key alone, as a gateway does.
func newGatewayRow(t *testing.T, answer http.HandlerFunc) *gatewayRow {
	t.Helper()
	overseer, own := askedKey(t)
	serverCert, pin := askedKey(t)
	s := httptest.NewUnstartedServer(answer)
	s.TLS = keys.PinnedServer(serverCert, func(pin keys.SPKIDigest) error {
		if pin == own {
			return nil
		}
		return countersign.CodeUnauthenticated
	})
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail are part of the test
	s.StartTLS()
	t.Cleanup(s.Close)
	return &gatewayRow{overseer, pin, s}
}

func askedKey(t *testing.T) (tls.Certificate, keys.SPKIDigest) {
	t.Helper()
	key, err := keys.Generate(countersign.AlgorithmEd25519)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := keys.SelfSigned(key)
	if err != nil {
		t.Fatal(err)
	}
	pin, err := keys.ParseSPKIDigest(key.KeyID())
	if err != nil {
		t.Fatal(err)
	}
	return cert, pin
}

// gateway is one of a member of that code, below the path of its code.
func (a *gatewayRow) gateway(code string) *federation.Gateway {
	return &federation.Gateway{
		Gateway: &countersign.Gateway{Name: "gw1", URL: a.server.URL + "/" + code + "/"},
		Member:  countersign.MemberID{Instance: "T", Class: "GOV", Code: code}, Pins: []keys.SPKIDigest{a.pin},
	}
}

// answerAs gives the answer of a gateway of a member.
func answerAs(w io.Writer, code string, name countersign.GatewayName) {
	_ = json.NewEncoder(w).Encode(map[string]string{"member": "T/GOV/" + code, "gateway": string(name)})
}

func memberOf(text []byte) (countersign.MemberID, error) {
	var from unreachable
	err := json.Unmarshal(text, &from)
	return from.Member, err
}

func askedOf(r *http.Request) string {
	code, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return code
}

// The answers stand in the directory's order although the last gateway is the first to answer, and each failure is told apart and is its gateway's alone.
func TestEachGatewayIsHeardByItself(t *testing.T) {
	last := make(chan struct{})
	a := newGatewayRow(t, func(w http.ResponseWriter, r *http.Request) {
		code := askedOf(r)
		switch code {
		case "FIRST":
			<-last
			answerAs(w, code, "gw1")
		case "LAST":
			answerAs(w, code, "gw1")
			close(last)
		case "REFUSES":
			w.WriteHeader(http.StatusForbidden)
		case "BABBLES":
			_, _ = io.WriteString(w, "<p>Welcome!")
		case "OTHER":
			answerAs(w, "FIRST", "gw1")
		case "NAMESAKE":
			answerAs(w, code, "gw2")
		case "UNREAD":
			answerAs(w, code, "gw1")
		case "CUT":
			w.Header().Set("Content-Length", "1000")
			answerAs(w, code, "gw1")
		case "ENDLESS":
			_, _ = w.Write(bytes.Repeat([]byte(" "), maxAgencyAnswer+1))
		}
	})
	codes := []string{"FIRST", "REFUSES", "BABBLES", "OTHER", "NAMESAKE", "UNREAD", "CUT", "ENDLESS", "FORGED", "GONE", "LAST"}
	var gateways []*federation.Gateway
	for _, code := range codes {
		gateways = append(gateways, a.gateway(code))
	}
	_, another := askedKey(t)
	gateways[8].Pins = []keys.SPKIDigest{another}
	gone := httptest.NewServer(nil)
	gone.Close()
	gateways[9].URL = strings.Replace(gone.URL, "http:", "https:", 1)

	answers := askGateways(t.Context(), a.overseer, gateways, "/signals", func(of countersign.MemberID, text []byte) (member countersign.MemberID, err error) {
		if of.Code == "UNREAD" {
			return member, countersign.Refuse(countersign.CodeInconsistent, "a receipt of %s does not hold", of)
		}
		return memberOf(text)
	})
	why := []string{
		"", "403 Forbidden", "cannot be read", "another's", "another's", "a receipt of T/GOV/UNREAD does not hold", "broke off", "larger than", "another key", "cannot be reached", "",
	}
	if len(answers) != len(codes) {
		t.Fatalf("%d answers of %d gateways", len(answers), len(codes))
	}
	for i, got := range answers {
		if got.member != gateways[i].Member || got.gateway != "gw1" {
			t.Errorf("%s: the answer of %s", codes[i], got.member)
		}
		switch {
		case why[i] == "":
			if got.err != nil || got.told != gateways[i].Member {
				t.Errorf("%s: %s, %v", codes[i], got.told, got.err)
			}
		case got.err == nil || !strings.Contains(countersign.MessageOf(got.err), why[i]) || !got.told.IsZero():
			t.Errorf("%s: %s, %v, want %q", codes[i], got.told, got.err, why[i])
		}
	}
	if !errors.Is(answers[8].err, countersign.CodeSignature) {
		t.Errorf("whose key is another's: %v is not to blame", answers[8].err)
	}
}

func TestGatewaysAreAskedSoManyAtOnce(t *testing.T) {
	var mu sync.Mutex
	var now, most int
	full := make(chan struct{})
	a := newGatewayRow(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now++
		if now == askAtOnce && most < askAtOnce {
			close(full)
		}
		most = max(most, now)
		mu.Unlock()
		<-full // nobody is answered before as many ask as may
		answerAs(w, askedOf(r), "gw1")
	})
	var gateways []*federation.Gateway
	for i := range 3 * askAtOnce {
		gateways = append(gateways, a.gateway(fmt.Sprint("M", i)))
	}
	answers := askGateways(t.Context(), a.overseer, gateways, "/signals", func(_ countersign.MemberID, text []byte) (countersign.MemberID, error) {
		mu.Lock()
		now--
		mu.Unlock()
		return memberOf(text)
	})
	for i, got := range answers {
		if got.err != nil || got.told != gateways[i].Member {
			t.Errorf("%s: %s, %v", gateways[i].Member, got.told, got.err)
		}
	}
	if most != askAtOnce {
		t.Errorf("%d gateways were asked at once, want %d", most, askAtOnce)
	}
}
