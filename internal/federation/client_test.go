package federation_test

import (
	"testing"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
)

func TestFirstView(t *testing.T) {
	w := newWorld(t)
	c := w.client(t.TempDir())
	if _, err := c.Current(); countersign.CodeOf(err) != countersign.CodeStaleDirectory {
		t.Fatalf("before the first poll: %v, want %s", err, countersign.CodeStaleDirectory)
	}
	v := w.view(c)
	if v.Version() != 1 || !v.Demo() || !v.Expires().Equal(start.Add(federation.TimestampLife)) {
		t.Errorf("version %d demo %t expires %s", v.Version(), v.Demo(), v.Expires())
	}
	if s, ok := v.Service(personData); !ok || !s.Active || s.Class != countersign.ClassRelation {
		t.Errorf("service: %+v %t", s, ok)
	}
	if raw, ok := v.OpenAPI("person.yaml"); !ok || len(raw) == 0 {
		t.Error("the description did not come along")
	}
}
