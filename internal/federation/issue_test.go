package federation_test

import (
	"slices"
	"testing"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
)

func issue(t *testing.T, d *countersign.Directory, announced, effective time.Time) federation.Held {
	t.Helper()
	i, err := federation.NewIssue(encode(t, d), federation.Dates{Version: d.Version, Announced: announced, Effective: effective})
	if err != nil {
		t.Fatal(err)
	}
	return federation.Held{Issue: i}
}

// A later version does not carry an older one's waiting changes into force before their time.
func TestInForceKeepsOrder(t *testing.T) {
	const day = 24 * time.Hour
	first, widened := document(), document()
	widened.Version = 2
	if err := addSchoolsGrant(widened); err != nil {
		t.Fatal(err)
	}
	third := clone(t, widened)
	third.Version = 3
	third.Rules = append(third.Rules, countersign.Rule{ID: "more", Text: en("More"), Policy: "forbid (principal, action, resource);"})
	held := []federation.Held{issue(t, first, start, start), issue(t, widened, start, start.Add(14*day)), issue(t, third, start.Add(day), start.Add(day))}
	for _, at := range []struct {
		when    time.Duration
		granted bool
		rules   int
		waiting int
		kept    int
	}{
		{0, false, 2, 2, 3}, {2 * day, false, 2, 2, 3}, {14*day - 1, false, 2, 2, 3}, {14 * day, true, 2, 0, 1},
	} {
		now := start.Add(at.when)
		d, waiting, err := federation.InForce(held, now)
		if err != nil {
			t.Fatal(err)
		}
		granted := slices.ContainsFunc(d.Services[0].Grants, func(g countersign.Grant) bool {
			return len(g.Methods) == 0 && slices.Contains(g.Clients, permits.String()) && slices.Contains(g.Fields, "/since")
		})
		if granted != at.granted || len(d.Rules) != at.rules || len(waiting) != at.waiting || d.Version != 3 {
			t.Errorf("after %s: version %d, granted %t, %d rules, waiting %v", at.when, d.Version, granted, len(d.Rules), waiting)
		}
		if got := len(federation.Since(held, now)); got != at.kept {
			t.Errorf("after %s: %d issues matter, want %d", at.when, got, at.kept)
		}
	}
}

func TestInForceOfNothing(t *testing.T) {
	_, _, err := federation.InForce(nil, start)
	refused(t, err, countersign.CodeStaleDirectory)
	_, _, err = federation.InForce([]federation.Held{issue(t, document(), start, start.Add(time.Hour))}, start)
	refused(t, err, countersign.CodeStaleDirectory, "takes effect at")
}

func TestNewIssueRefuses(t *testing.T) {
	raw := encode(t, document())
	for name, dates := range map[string]federation.Dates{
		"another version":           {Version: 2, Announced: start, Effective: start},
		"no dates":                  {Version: 1},
		"in force before announced": {Version: 1, Announced: start, Effective: start.Add(-1)},
	} {
		if _, err := federation.NewIssue(raw, dates); countersign.CodeOf(err) != countersign.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := federation.NewIssue([]byte(`{"format":1,"version":1,"surprise":true}`), federation.Dates{Version: 1, Announced: start, Effective: start}); err == nil {
		t.Error("an unknown member of the document is taken")
	}
}
