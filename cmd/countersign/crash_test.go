package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
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
		if err != nil { // nobody is there: a clerk does not hammer at the door
			timer := time.NewTimer(20 * time.Millisecond)
			select {
			case <-l.stop:
			case <-timer.C:
			}
			timer.Stop()
		}
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

// fsckAt runs fsck on a folder and changes nothing.
func fsckAt(t *testing.T, dir string) (status int, result fsckResult) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run([]string{"fsck", "--json", "--read-only", dir}, streams{&out, &errs})
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		t.Fatalf("fsck: %v: %s%s", err, out.Bytes(), errs.Bytes())
	}
	return status, result
}
