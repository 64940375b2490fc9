package identity_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"countersign.dev/countersign/demo/identity"
	"countersign.dev/countersign/internal/clock"
)

// A running provider publishes what its file of keys holds, the public halves alone; keys outlive a start.
func TestKeysAreRotatedInTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.json")
	keys, err := identity.OpenKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := identity.New(identity.Options{
		Issuer: "http://127.0.0.1/people", Clock: clock.Default(), Keys: keys, Find: func(string) (identity.Account, bool) { return identity.Account{}, false },
	})
	if err != nil {
		t.Fatal(err)
	}
	published := func() []string {
		res := httptest.NewRecorder()
		handler.ServeHTTP(res, httptest.NewRequest(http.MethodGet, "http://127.0.0.1/people/keys", http.NoBody))
		var set jose.JSONWebKeySet
		if err := json.Unmarshal(res.Body.Bytes(), &set); err != nil {
			t.Fatalf("%s: %v", res.Body, err)
		}
		var ids []string
		for _, k := range set.Keys {
			if !k.IsPublic() {
				t.Fatal("a private key is published")
			}
			ids = append(ids, k.KeyID)
		}
		return ids
	}
	first := published()
	if err := keys.Rotate(); err != nil {
		t.Fatal(err)
	}
	both := published()
	if len(first) != 1 || len(both) != 2 || both[0] != first[0] {
		t.Fatalf("%v, then %v", first, both)
	}
	again, err := identity.OpenKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Withdraw(); err != nil {
		t.Fatal(err)
	}
	if left := published(); len(left) != 1 || left[0] != both[1] {
		t.Errorf("%v are left of %v", left, both)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of keys: %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(file, []byte(`{"keys":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.OpenKeys(file); err == nil {
		t.Error("a file without keys is taken")
	}
}
