package countersign

import (
	"errors"
	"strings"
	"testing"
)

type policyCase struct{ name, text, says string }

// policies are policy texts, and what the refusal says of those that cannot be used.
func policies() []policyCase {
	key := vkey("population.example/log", 1, testKey("population.example/log"))
	logLine := "log " + key + "\n"
	w := func(name, key string, kind byte) string {
		return "witness " + name + " " + vkey(name, kind, testKey(key)) + " https://" + name + ".example\n"
	}
	return []policyCase{
		{"two organisations", logLine + quorumText(), ""},
		{"one witness as quorum", logLine + w("bar", "bar", 4) + "quorum bar\n", ""},
		{"comments and blank lines", "# logs\n\n" + logLine + "\n# witnesses\n" + quorumText(), ""},
		{"a witness key of the plain kind", logLine + w("bar", "bar", 1) + "quorum bar\n", ""},
		{"nothing", "", "names no log"},
		{"a log in a comment", "#" + logLine + quorumText(), "names no log"},
		{"no log", quorumText(), "names no log"},
		{"a log key of another hash", "log " + strings.Replace(key, "+", "+0", 1) + "\n" + quorumText(), "log key"},
		{"a log key that is a witness's", "log " + vkey("x", 4, testKey("x")) + "\n" + quorumText(), "log key"},
		{"a log twice", logLine + logLine + quorumText(), "twice"},
		{"a log with two keys", logLine + "log " + vkey("population.example/log", 1, testKey("second")) + "\n" + quorumText(), "twice"},
		{"no quorum", logLine + w("bar", "bar", 4), "quorum"},
		{"a quorum of none", logLine + "quorum none\n", "quorum is none"},
		{"a quorum that is not there", logLine + w("bar", "bar", 4) + "quorum baz\n", "not found"},
		{"a group of nobody", logLine + w("bar", "bar", 4) + "group g 0 bar\nquorum g\n", "no member"},
		{"all of none", logLine + "group g all\nquorum g\n", "no member"},
		{"a threshold over the members", logLine + w("bar", "bar", 4) + "group g 2 bar\nquorum g\n", "threshold"},
		{"one witness counted twice", logLine + w("bar", "bar", 4) + "group g 2 bar bar\nquorum g\n", "counts \"bar\" twice"},
		{"one witness in two groups", logLine + w("bar", "bar", 4) + "group a any bar\ngroup b any bar\ngroup g 2 a b\nquorum g\n", "counts \"bar\" twice"},
		{"one key as two witnesses", logLine + w("bar", "bar", 4) + w("baz", "bar", 4) + "group g 2 bar baz\nquorum g\n", "twice"},
		{"one key as two witnesses of two kinds", logLine + w("bar", "bar", 4) + w("baz", "bar", 1) + "group g 2 bar baz\nquorum g\n", "twice"},
		{"a witness without address", logLine + "witness bar " + vkey("bar", 4, testKey("bar")) + "\nquorum bar\n", "witness"},
		{"a witness key that is none", logLine + "witness bar bar+00+!! https://bar.example\nquorum bar\n", "witness key"},
		{"an unknown word", logLine + quorumText() + "trust everyone\n", "unknown keyword"},
	}
}

func TestPolicy(t *testing.T) {
	for _, c := range policies() {
		t.Run(c.name, func(t *testing.T) {
			p, err := ParsePolicy([]byte(c.text))
			if c.says == "" {
				if err != nil || p == nil {
					t.Fatal(err)
				}
				return
			}
			if p != nil || !errors.Is(err, CodeBadRequest) || !strings.Contains(MessageOf(err), c.says) {
				t.Errorf("%v: a bad_request that says %q is due", err, c.says)
			}
		})
	}
}
