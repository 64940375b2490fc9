package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rogpeppe/go-internal/testscript"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/mandate"
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

// cmdLet: "let VAR FILE [PATH]" sets $VAR to a file's text, trimmed, or to what stands at the path of its JSON document.
func cmdLet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: let VAR FILE [PATH]")
	}
	text := strings.TrimSpace(ts.ReadFile(args[1]))
	if len(args) == 3 {
		var doc any
		ts.Check(json.Unmarshal([]byte(text), &doc))
		found, ok := at(doc, args[2])
		if !ok {
			ts.Fatalf("nothing stands at %s of %s", args[2], text)
		}
		text = fmt.Sprint(found)
	}
	ts.Setenv(args[0], text)
}

// cmdVolley: "volley N [kill=PART:ANSWERS] QUESTION…" puts the same question N times at once, each by itself, and prints how many ended with which code;
// "ok" is an answer. It sets $VOLLEY_OK and the like. With kill, the part gets SIGKILL as soon as so many answers have come, and is started again when
// the volley has ended.
func cmdVolley(ts *testscript.TestScript, neg bool, args []string) {
	n, kill, after := 0, "", int64(0)
	if len(args) > 1 {
		n, _ = strconv.Atoi(args[0])
		args = args[1:]
	}
	if part, answers, ok := strings.Cut(strings.TrimPrefix(args[0], "kill="), ":"); ok && strings.HasPrefix(args[0], "kill=") {
		var err error
		kill, args = part, args[1:]
		after, err = strconv.ParseInt(answers, 10, 64)
		ts.Check(err)
	}
	if neg || n < 1 {
		ts.Fatalf("usage: volley N [kill=PART:ANSWERS] QUESTION…")
	}
	s := storyOf(ts)
	var parts []*process
	if kill != "" {
		var err error
		parts, err = s.parts([]string{kill})
		ts.Check(err)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var shot sync.Once
	codes := map[string]int{}
	for range n {
		req, err := questionOf(s.d, args)
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
			codes[code]++
			enough := int64(codes["ok"]) >= after
			mu.Unlock()
			if enough && kill != "" {
				shot.Do(parts[0].kill)
			}
		})
	}
	wg.Wait()
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		fmt.Fprintf(ts.Stdout(), "%s %d\n", code, codes[code])
	}
	for _, code := range []string{"ok", string(countersign.CodeNetwork), string(countersign.CodeMandateSpent)} {
		ts.Setenv("VOLLEY_"+strings.ToUpper(code), strconv.Itoa(codes[code]))
	}
	if kill != "" {
		ts.Check((&fleet{self: s.fleet.self, parts: parts}).start(context.Background()))
	}
}

// cmdPorts: "ports VAR…" sets each variable to an address on loopback that nobody uses.
func cmdPorts(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: ports VAR…")
	}
	free, reserved, err := freeAddresses(len(args))
	ts.Check(err)
	for i, name := range args {
		ts.Setenv(name, free[i])
	}
	ts.Defer(func() {
		for _, l := range reserved {
			_ = l.Release() // the story is over
		}
	})
}

// cmdOddRegister: "odd-register POP FILE" stands in for the agency's register, which must be halted, and answers every question with the bytes of the file,
// with line ends as HTTP has them and variables expanded. Called again, it answers with another file's.
func cmdOddRegister(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: odd-register AGENCY FILE")
	}
	s := storyOf(ts)
	text := strings.ReplaceAll(os.Expand(ts.ReadFile(args[1]), ts.Getenv), "\n", "\r\n")
	if s.odd != nil {
		s.odd.Store(&text)
		return
	}
	s.odd = new(atomic.Pointer[string])
	s.odd.Store(&text)
	socket, err := net.Listen("tcp", address(s.d.Members[args[0]].Register))
	ts.Check(err)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, *s.odd.Load()) // a gateway that hangs up is what some of them are for
		_ = conn.Close()
	})}
	go func() { _ = server.Serve(socket) }() // until the story ends
	ts.Defer(func() { _ = server.Close() })
}

// cmdForge: "forge VAR OLD key=FILE [from=DURATION] [delay=DURATION] [court=DIR]" takes the warrant in $OLD, changes when it begins and by how much it delays
// the notice, signs it with the key in the file and sets $VAR. With court, an insider with the court's own keys registers it too, in the log of the court, which must be halted; without, it
// carries the registration of the old one.
func cmdForge(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: forge VAR OLD key=FILE [from=DURATION] [delay=DURATION] [court=DIR]")
	}
	old, err := exchange.ParsePresented(ts.Getenv(args[1]))
	ts.Check(err)
	jws, err := jose.ParseSignedCompact(old[0].Warrant, []jose.SignatureAlgorithm{jose.EdDSA})
	ts.Check(err)
	var w mandate.Warrant
	ts.Check(json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &w))
	var key keys.Signer
	court := ""
	for _, a := range args[2:] {
		name, value, _ := strings.Cut(a, "=")
		switch name {
		case "key":
			key, err = keys.Load(ts.MkAbs(value))
		case "from":
			var by time.Duration
			by, err = time.ParseDuration(value)
			w.From = mandate.SecondsOf(w.From.Time().Add(by))
		case "delay":
			err = w.Delay.UnmarshalText([]byte(value))
		case "court":
			court = value
		default:
			err = errUsage
		}
		ts.Check(err)
	}
	token, err := mandate.SignWarrant(key, &w)
	ts.Check(err)
	forged := exchange.Presented{Warrant: token, Receipt: old[0].Receipt}
	if court != "" {
		forged.Receipt, err = registerAsInsider(court, sha256.Sum256([]byte(token)))
		ts.Check(err)
	}
	header, err := forged.Encode()
	ts.Check(err)
	ts.Setenv(args[0], header)
}

// registerAsInsider writes into a halted court's log with the court's own keys, past its desk.
func registerAsInsider(dir string, digest countersign.Digest) (receipt *countersign.Receipt, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	o, err := loadOffice(dir)
	if err != nil {
		return nil, err
	}
	logger := slog.New(slog.DiscardHandler)
	directory, err := openDirectory(o.Root, o.Directory, filepath.Join(dir, "data", "directory"), clock.Default(), logger)
	if err != nil {
		return nil, err
	}
	log, closeLog, err := openLog(ctx, o.logParts(), clock.Default(), logger, prometheus.NewRegistry(), directory)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	return registerIn(ctx, log, clock.Default().Now(), countersign.MandateWarrant, countersign.Commitment(digest), nil)
}
