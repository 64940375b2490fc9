package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/internal/ledger"
)

// TestKilledGatewaysLoseNothing kills gateways under load, at random instants of their work and of their start, again and again. What a client
// was answered is on both records, once; what was under way is closed, and both sides pair; no receipt fails, neither store has taken harm, and
// no witness has seen a fork. SOAK_KILLS says how often; the tests do it a few times.
func TestKilledGatewaysLoseNothing(t *testing.T) {
	t.Parallel()
	kills := soakKills(t)
	d, f := running(t, demoPlan{agencies: []string{law.MUN, law.POP}})
	l, err := startLoad(d, 6)
	if err != nil {
		t.Fatal(err)
	}
	ended := sync.OnceFunc(l.end)
	defer ended()
	seed := rand.Uint64()
	k := &killer{rng: rand.New(rand.NewPCG(seed, 0)), fleet: f, load: l}
	begun := time.Now()
	for k.kills < kills {
		if err := k.round(t.Context()); err != nil {
			t.Fatalf("seed %d, after %d kills: %v", seed, k.kills, err)
		}
		if k.kills/killsPerCheck > k.checked {
			k.checked = k.kills / killsPerCheck
			checkWhole(t, d)
			t.Logf("%d kills in %s: %s", k.kills, time.Since(begun).Round(time.Second), l)
		}
	}
	if err := l.more(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	ended()
	a := auditLogs(t, d, l.answered)
	t.Logf("%d kills (%d of them of a gateway that was starting, %d of both at once) in %s, seed %d: %s; %s",
		k.kills, k.starting, k.both, time.Since(begun).Round(time.Second), seed, l, a)
	if len(l.answered) < 100 || l.failed["network"]+l.failed["no gateway"] == 0 {
		t.Fatal("the gateways were not killed in the middle of work")
	}
	checkReceipts(t, d, l.answered)
	awaitClosed(t, d)
	f.stop()
	checkWhole(t, d)
}

// killsPerCheck is how many kills pass between two checks of the stores while they are in use.
const killsPerCheck = 100

// soakKills is how often a gateway is killed: six times, or as many as SOAK_KILLS says.
func soakKills(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SOAK_KILLS")
	if text == "" {
		return 6
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("SOAK_KILLS=%q: give a number of kills", text)
	}
	return n
}

// String tells what the clerks met.
func (l *load) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%d answered, others %v", len(l.answered), l.failed)
}

// killer kills gateways.
type killer struct {
	rng   *rand.Rand
	fleet *fleet
	load  *load

	kills, starting, both, checked int
}

// round kills one gateway, or both, at a random instant of work, and starts it again, which it does not always survive either.
func (k *killer) round(ctx context.Context) error {
	if err := k.load.more(ctx, int64(1+k.rng.IntN(20))); err != nil { // it has worked since it was killed last
		return err
	}
	k.pass(ctx, 30*time.Millisecond)
	gateways := []*process{k.fleet.part("gateway-pop"), k.fleet.part("gateway-mun")}
	if k.rng.IntN(10) == 0 {
		k.both++
	} else {
		i := k.rng.IntN(2)
		gateways = gateways[i : i+1]
	}
	var killed sync.WaitGroup
	for _, p := range gateways {
		killed.Go(p.kill)
		k.kills++
	}
	killed.Wait()
	for _, p := range gateways {
		if err := p.start(k.fleet.self); err != nil {
			return err
		}
		for k.rng.IntN(4) == 0 {
			k.pass(ctx, 200*time.Millisecond)
			p.kill()
			k.kills++
			k.starting++
			if err := p.start(k.fleet.self); err != nil {
				return err
			}
		}
	}
	for _, p := range gateways {
		if err := p.await(ctx); err != nil {
			return err
		}
	}
	return nil
}

// pass lets a random time pass.
func (k *killer) pass(ctx context.Context, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(k.rng.Int64N(int64(most))))
	defer cancel()
	<-ctx.Done()
}

// audited says what the two logs hold together.
type audited struct{ paired, released, received, alone int }

// String tells it.
func (a audited) String() string {
	return fmt.Sprintf("%d exchanges on both records (released %d, received %d), %d on the consumer's alone; none lost, none doubled",
		a.paired, a.released, a.received, a.alone)
}

// side is one party's record of an exchange.
type side struct {
	commitment countersign.Commitment
	outcome    countersign.Outcome
	times      int
}

// sides reads one party's whole log.
func sides(ctx context.Context, log *ledger.Reader, which countersign.Side) (map[countersign.ExchangeID]side, error) {
	out := map[countersign.ExchangeID]side{}
	for page := (ledger.Page{Limit: ledger.MaxPage}); ; {
		list, err := log.List(ctx, page)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			if e.Leaf.Side == which && e.Leaf.Kind == countersign.LeafExchange {
				out[e.Exchange] = side{e.Leaf.Commitment, e.Leaf.Outcome, out[e.Exchange].times + 1}
			}
		}
		if len(list) == 0 || list[len(list)-1].Index == 0 {
			return out, nil
		}
		page.Before = list[len(list)-1].Index
	}
}

// auditLogs compares both logs whole, once the consumer has closed what its crashes left open: no exchange stands twice on a record, each that the
// provider has is on the consumer's under the same commitment, and whatever a client was answered is released on one and received on the other.
func auditLogs(t *testing.T, d *demoFile, answered []string) (a audited) {
	t.Helper()
	provider, err := sides(t.Context(), readerAt(t, d, law.POP), countersign.SideProvider)
	if err != nil {
		t.Fatal(err)
	}
	asking := readerAt(t, d, law.MUN)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	for id := range provider {
		err := until(ctx, func() error {
			own, err := asking.ByExchange(t.Context(), id)
			if err == nil && len(own) == 0 {
				err = fmt.Errorf("the consumer has not closed the exchange %s", id)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	consumer, err := sides(t.Context(), asking, countersign.SideConsumer)
	if err != nil {
		t.Fatal(err)
	}
	for id, p := range provider {
		c := consumer[id]
		switch {
		case c.times != 1 || p.times != 1:
			t.Errorf("the exchange %s is doubled: %d times on the consumer's record, %d times on the provider's", id, c.times, p.times)
		case c.commitment != p.commitment:
			t.Errorf("the records of the exchange %s do not pair: %s and %s", id, c.outcome, p.outcome)
		default:
			a.paired++
			if p.outcome == countersign.OutcomeReleased {
				a.released++
			}
			if c.outcome == countersign.OutcomeReceived {
				a.received++
			}
		}
	}
	for id := range consumer {
		if _, ok := provider[id]; !ok {
			a.alone++
			if consumer[id].outcome != countersign.OutcomeNotAccepted {
				t.Errorf("the consumer says %s of an exchange that the provider has no record of: %s", consumer[id].outcome, id)
			}
		}
	}
	for _, text := range answered {
		id, err := countersign.ParseExchangeID(text)
		if err != nil {
			t.Fatal(err)
		}
		if consumer[id].outcome != countersign.OutcomeReceived || provider[id].outcome != countersign.OutcomeReleased {
			t.Errorf("the answer %s is lost: %s and %s", text, consumer[id].outcome, provider[id].outcome)
		}
	}
	return a
}

// awaitClosed waits until no intent is open any more: of what never reached the provider it has said that it never will be recorded.
func awaitClosed(t *testing.T, d *demoFile) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	err := until(ctx, func() error {
		_, result := fsckAt(t, filepath.Dir(d.Members[law.MUN].Config))
		for _, st := range result.Stores {
			if st.Intents > 0 {
				return fmt.Errorf("%s holds %d open intents", st.File, st.Intents)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// checkWhole runs fsck on the whole federation: chains, indexes, commitments, reservations and intents, and the stores against what the witnesses
// hold. No witness may hold evidence against a log.
func checkWhole(t *testing.T, d *demoFile) {
	t.Helper()
	status, result := fsckAt(t, d.dir)
	for _, st := range result.Stores {
		for _, p := range st.Problems {
			t.Errorf("%s: %s: %s", st.File, p.Where, p.What)
		}
	}
	for _, w := range result.Witnesses {
		if len(w.Evidence) > 0 || len(w.Problems) > 0 {
			t.Errorf("%s holds evidence %v against a log, problems %v", w.Folder, w.Evidence, w.Problems)
		}
	}
	if len(result.Stores) < 2 || len(result.Witnesses) < 2 {
		t.Errorf("only %d stores and %d witnesses were checked", len(result.Stores), len(result.Witnesses))
	}
	if status != fsckClean {
		t.Fatalf("fsck ends with status %d", status)
	}
}
