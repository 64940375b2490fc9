package witness_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"countersign.dev/countersign/internal/ledger/witness"
)

// At whatever step the disk fails, stored or not: no cosignature leaves, none is given for another history afterwards, and the witness goes on by
// itself once its disk does, started anew or not.
func TestFaultsAtEachStepOfCosigning(t *testing.T) {
	for _, step := range witness.DiskSteps {
		for _, done := range []bool{false, true} {
			for _, again := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, done %t, started anew %t", step, done, again), func(t *testing.T) {
					dir, key, f := t.TempDir(), newKey(t), newForeign(t)
					f.grow("a", "b", "c")
					w := start(t, dir, key, f.vkey)
					if status, answer, _ := w.post(t, f.body(0, 2)); status != http.StatusOK {
						t.Fatalf("%d %s", status, answer)
					}
					w.FailDisk(step, done)
					if status, answer, _ := w.post(t, f.body(2, 3)); status != http.StatusServiceUnavailable || strings.Contains(answer, "—") {
						t.Fatalf("a failing disk: %d %q", status, answer)
					}
					if again {
						w.stop()
						w = start(t, dir, key, f.vkey)
					} else {
						w.FailDisk("", false)
					}
					// Another history from the size that was cosigned last is refused, also where the newer size was stored and told to nobody.
					fork := newForeign(t)
					fork.signer = f.signer
					fork.grow("a", "x", "y")
					if status, _, _ := w.post(t, fork.body(2, 3)); status == http.StatusOK {
						t.Fatal("a fork is cosigned")
					}
					old := int64(2)
					status, answer, _ := w.post(t, f.body(old, 3))
					if status == http.StatusConflict {
						if answer != "3\n" {
							t.Fatalf("it holds %q", answer)
						}
						old = 3
						status, answer, _ = w.post(t, f.body(old, 3))
					}
					if status != http.StatusOK {
						t.Fatalf("after the fault: %d %s", status, answer)
					}
					cosigned(t, w, f.sign(3, f.root(3)), answer)
					w.stop()
					v, err := witness.Verifier(w.VerifierKey())
					if err != nil {
						t.Fatal(err)
					}
					r, err := witness.CheckState(dir, v, true)
					if err != nil || len(r.Heads) != 1 {
						t.Fatalf("%+v, %v", r, err)
					}
					for _, p := range r.Problems {
						if !p.Repaired {
							t.Errorf("%+v", p)
						}
					}
				})
			}
		}
	}
}
