package main

import (
	"crypto/rand"
	"testing"
	"time"

	formats "github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/store"
)

// openTestLog opens a member's log without a directory, as its gateway does.
func openTestLog(t *testing.T, parts logParts) (*ledger.Log, func()) {
	t.Helper()
	db, err := store.OpenSQLite(t.Context(), parts.file(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	conf, err := parts.config(db, clock.Default(), nil)
	if err != nil {
		t.Fatal(err)
	}
	conf.Tick = 5 * time.Millisecond
	log, err := ledger.Open(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	return log, func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// fillLog appends n reserved exchanges with records, waits until a checkpoint has all of them, and gives it.
func fillLog(t *testing.T, parts logParts, n int) []byte {
	t.Helper()
	log, closeLog := openTestLog(t, parts)
	defer closeLog()
	done := make(chan error, n)
	for range n {
		go func() { done <- appendExchange(t, log) }()
	}
	for range n {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	size := log.Size()
	check, err := note.NewVerifier(log.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	for {
		text := log.SignedCheckpoint()
		if cp, _, _, err := formats.ParseCheckpoint(text, string(log.Origin()), check); err == nil && cp.Size >= size {
			return text
		}
		select {
		case <-t.Context().Done():
			t.Fatal("no checkpoint came")
		case <-time.After(time.Millisecond):
		}
	}
}

func appendExchange(t *testing.T, log *ledger.Log) error {
	now := time.Now()
	id := countersign.NewExchangeID(now)
	service, err := countersign.ParseServiceID("DEMO/GOV/1001/people/person")
	if err != nil {
		return err
	}
	consumer, err := countersign.ParseSubsystemID("DEMO/GOV/1002/desk")
	if err != nil {
		return err
	}
	if err := log.Reserve(t.Context(), ledger.Reservation{Exchange: id, Consumer: consumer, Until: now.Add(time.Hour)}); err != nil {
		return err
	}
	st := &countersign.Statement{Exchange: id, Service: service, Consumer: consumer, Subject: countersign.SubjectID{Scheme: "pin", Value: "7Q2M4K9"}.Canonical(),
		Purpose: "property-tax", Basis: "tax-code-202", Outcome: countersign.OutcomeReleased, Asked: countersign.MillisOf(now), Answered: countersign.MillisOf(now)}
	text := st.Encode()
	var salt countersign.Salt
	_, _ = rand.Read(salt[:])
	commitment := salt.Commit(text)
	_, err = log.Append(t.Context(), ledger.Entry{
		Leaf: countersign.ExchangeLeaf(st, countersign.SideProvider, st.Outcome, commitment), Exchange: id, Tag: log.TagOf(countersign.SubjectID{Scheme: "pin", Value: "7Q2M4K9"}),
		Record: &ledger.Record{Statement: text, Salt: salt}, Expires: now.AddDate(1, 0, 0),
	})
	return err
}
