package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/country"
	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/store"
)

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), 60*time.Second)
}

// load is a crowd of clerks who ask where people live, one after another, and write down which exchanges were answered.
type load struct {
	d        *demoFile
	pins     []country.PIN
	next     atomic.Int64
	stop     chan struct{}
	wg       sync.WaitGroup
	mu       sync.Mutex
	answered []string
	failed   map[string]int // by code
	count    atomic.Int64
}

func startLoad(d *demoFile, clerks int) (*load, error) {
	atlas, err := country.Open(d.path("registers"))
	if err != nil {
		return nil, err
	}
	l := &load{d: d, pins: atlas.PINs, stop: make(chan struct{}), failed: map[string]int{}}
	for range clerks {
		l.wg.Go(l.clerk)
	}
	return l, nil
}

func (l *load) clerk() {
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		pin := l.pins[int(l.next.Add(1))%len(l.pins)]
		req, err := questionOf(l.d, []string{law.MUN, "POP/residence/" + string(pin), "property-tax/tax-code-202", "official=clerk+"})
		var a *asked
		if err == nil {
			a, err = put(req)
		}
		l.mu.Lock()
		switch {
		case err != nil:
			l.failed["no gateway"]++
		case a.Error != "" || a.Cut:
			l.failed[a.Code]++
		default:
			l.answered = append(l.answered, a.Exchange)
		}
		l.mu.Unlock()
		l.count.Add(1)
	}
}

// more waits for so many more questions.
func (l *load) more(ctx context.Context, n int64) error {
	due := l.count.Load() + n
	return until(ctx, func() error {
		if c := l.count.Load(); c < due {
			return fmt.Errorf("%d of %d questions", c, due)
		}
		return nil
	})
}

func (l *load) end() {
	close(l.stop)
	l.wg.Wait()
}

// Both gateways are killed in the middle of load and started again. What a client was answered is on both records, what was under way is
// closed, no receipt fails, and neither store has taken harm.
func TestKilledGatewaysLoseNothing(t *testing.T) {
	t.Parallel()
	d, f := running(t, demoPlan{agencies: []string{law.MUN, law.POP}})
	l, err := startLoad(d, 8)
	if err != nil {
		t.Fatal(err)
	}
	ended := sync.OnceFunc(l.end)
	defer ended()
	ctx, cancel := contextOf(t)
	defer cancel()
	for _, name := range []string{"gateway-pop", "gateway-mun", "gateway-pop", "gateway-mun"} {
		if err := l.more(ctx, 100); err != nil {
			t.Fatal(err)
		}
		p := f.part(name)
		p.kill()
		if err := p.start(f.self); err != nil {
			t.Fatal(err)
		}
		if err := p.await(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.more(ctx, 100); err != nil {
		t.Fatal(err)
	}
	ended()
	t.Logf("%d answered, others %v", len(l.answered), l.failed)
	if len(l.answered) < 100 || l.failed["network"]+l.failed["no gateway"] == 0 {
		t.Fatal("the gateways were not killed in the middle of work")
	}
	checkClosed(t, d)
	checkAnswered(t, d, l.answered)
	checkReceipts(t, d, l.answered)
	f.stop()
	for _, code := range []string{law.MUN, law.POP} {
		checkStore(t, d, code)
	}
}

// checkClosed waits until the consumer has closed what its crashes left open: each exchange that the provider has on record is then on the
// consumer's too. Where an answer was lost on its way the consumer says alone that it accepted nothing, and the two records do not pair.
func checkClosed(t *testing.T, d *demoFile) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	asked, answered := readerAt(t, d, law.MUN), readerAt(t, d, law.POP)
	var all []*ledger.Stored
	page := ledger.Page{Limit: 200}
	for {
		list, err := answered.List(ctx, page)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		all, page.Before = append(all, list...), list[len(list)-1].Index
		if page.Before == 0 {
			break
		}
	}
	for _, e := range all {
		if e.Leaf.Side != countersign.SideProvider {
			continue
		}
		err := until(ctx, func() error {
			own, err := asked.ByExchange(ctx, e.Exchange)
			if err == nil && len(own) != 1 {
				err = fmt.Errorf("the consumer has %d records of the exchange %s", len(own), e.Exchange)
			}
			if err == nil && own[0].Leaf.Commitment != e.Leaf.Commitment && own[0].Leaf.Outcome != countersign.OutcomeNotAccepted {
				err = fmt.Errorf("the records of the exchange %s do not pair: %s and %s", e.Exchange, own[0].Leaf.Outcome, e.Leaf.Outcome)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// checkAnswered finds the record of each answer on both sides, once, and that it opens its leaf.
func checkAnswered(t *testing.T, d *demoFile, ids []string) {
	t.Helper()
	for code, outcome := range map[string]countersign.Outcome{law.MUN: countersign.OutcomeReceived, law.POP: countersign.OutcomeReleased} {
		log := readerAt(t, d, code)
		seen := map[uint64]bool{}
		for _, text := range ids {
			id, err := countersign.ParseExchangeID(text)
			if err != nil {
				t.Fatal(err)
			}
			all, err := log.ByExchange(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if len(all) != 1 || all[0].Leaf.Outcome != outcome || !lineOf(all[0]).Opens || seen[all[0].Index] {
				t.Errorf("the log of %s has %d records of the answer %s", code, len(all), text)
				continue
			}
			seen[all[0].Index] = true
		}
	}
}

// readerAt opens a member's log for reading beside its gateway.
func readerAt(t *testing.T, d *demoFile, code string) *ledger.Reader {
	t.Helper()
	conf, err := loadGatewayConfig(d.Members[code].Config)
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.OpenSQLiteReader(t.Context(), conf.logParts().file())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	logConf, err := conf.logParts().config(db, clock.System{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	log, err := ledger.OpenReader(t.Context(), logConf)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// checkReceipts fetches receipts and checks them offline: those of the latest, and some from before the crashes, with the witnesses' proof.
func checkReceipts(t *testing.T, d *demoFile, ids []string) {
	t.Helper()
	text, err := os.ReadFile(d.Policy)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := countersign.ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextOf(t)
	defer cancel()
	for i := 0; i < len(ids); i += max(1, len(ids)/20) {
		err := until(ctx, func() error {
			found, err := verified(d, policy, ids[i])
			if err == nil && !found.Cosigned {
				err = fmt.Errorf("the receipt of %s is not cosigned", ids[i])
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func verified(d *demoFile, policy *countersign.Policy, id string) (*countersign.Finding, error) {
	m := d.Members[law.MUN]
	token, err := readLine(m.TokenFile)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodGet, m.Client+"/countersign/receipts/"+id, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set(exchange.HeaderToken, token)
	res, err := storyClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	receipt, err := countersign.ParseReceipt(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", res.Status, err, text)
	}
	return policy.Verify(receipt)
}

// checkStore runs fsck on a member's store: chains, indexes, commitments, reservations and intents.
func checkStore(t *testing.T, d *demoFile, code string) {
	t.Helper()
	var out, errs bytes.Buffer
	status := run([]string{"fsck", "--json", "--read-only", filepath.Dir(d.Members[code].Config)}, streams{&out, &errs})
	var result fsckResult
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		t.Fatalf("fsck: %v: %s%s", err, out.Bytes(), errs.Bytes())
	}
	if status != fsckClean {
		t.Errorf("the store of %s: status %d: %s%s", code, status, out.Bytes(), errs.Bytes())
	}
}
