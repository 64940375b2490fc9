package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdLogin: "login VAR CODE [agency=POL] [nonce=N]" logs somebody of the cast in at the demo's identity provider and sets $VAR to the token.
func cmdLogin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: login VAR CODE [agency=AGENCY] [nonce=N]")
	}
	more := map[string]string{}
	for _, a := range args[2:] {
		name, value, _ := strings.Cut(a, "=")
		more[name] = value
	}
	token, err := storyOf(ts).d.login(context.Background(), more["agency"], args[1], more["nonce"])
	ts.Check(err)
	ts.Setenv(args[0], token)
}

// cmdLet: "let VAR FILE" sets $VAR to a file's text, trimmed.
func cmdLet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: let VAR FILE")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// cmdVolley: "volley N QUESTION…" puts the same question N times at once, each by itself, and prints how many ended with which code; "ok" is an
// answer.
func cmdVolley(ts *testscript.TestScript, neg bool, args []string) {
	n := 0
	if len(args) > 1 {
		n, _ = strconv.Atoi(args[0])
	}
	if neg || n < 1 {
		ts.Fatalf("usage: volley N QUESTION…")
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	codes := map[string]int{}
	for range n {
		req, err := questionOf(storyOf(ts).d, args[1:])
		ts.Check(err)
		wg.Go(func() {
			a, err := put(req)
			code := "ok"
			switch {
			case err != nil:
				code = "error"
			case a.Error != "":
				code = a.Code
			}
			mu.Lock()
			defer mu.Unlock()
			codes[code]++
		})
	}
	wg.Wait()
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		fmt.Fprintf(ts.Stdout(), "%s %d\n", code, codes[code])
	}
}
