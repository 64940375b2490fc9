package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/keys"
)

// cmdKnock: "knock POP KEYFILE" knocks at POP's gateway with a TLS key and waits until it is let in; "! knock POP KEYFILE" waits until it is
// turned away. Both wait no longer than a change of members and keys may take to act.
func cmdKnock(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if len(args) != 2 {
		ts.Fatalf("usage: knock AGENCY KEYFILE")
	}
	key, err := keys.Load(ts.MkAbs(args[1]))
	ts.Check(err)
	cert, err := keys.SelfSigned(key)
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), federation.LongestPoll)
	defer cancel()
	begun := time.Now()
	var answer string
	ts.Check(until(ctx, func() (err error) {
		var in bool
		if in, answer, err = knock(ctx, s.d.Members[args[0]], cert); err == nil && in == neg {
			err = fmt.Errorf("the key is let in: %t (%s)", in, answer)
		}
		return err
	}))
	fmt.Fprintf(ts.Stdout(), "%s after %s\n", answer, time.Since(begun).Round(time.Second))
}

// knock opens a connection with a key and asks for something on it: the server's judgement of the key comes with the first answer. A TLS alert is a
// refusal of the key; that nobody answers at all is an error.
func knock(ctx context.Context, m demoMember, cert tls.Certificate) (in bool, answer string, err error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: keys.PinnedClient(cert, anyone), DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.Peer+"/", nil)
	if err != nil {
		return false, "", err
	}
	res, err := client.Do(req)
	if err == nil {
		return true, "let in: " + res.Status, res.Body.Close()
	}
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		return false, "turned away: " + alert.Error(), nil
	}
	if strings.Contains(err.Error(), "remote error: tls: ") {
		return false, "turned away: " + err.Error(), nil
	}
	return false, "", err
}

// descriptionsOf takes the descriptions of the services out of an approved folder, by the names that the document gives them.
func descriptionsOf(folder federation.Folder, to string) error {
	a, err := folder.LoadApproval()
	if err != nil {
		return err
	}
	for name, raw := range a.Files {
		if federation.IsDocument(name) {
			continue
		}
		if err := federation.WriteFile(filepath.Join(to, name), raw); err != nil {
			return err
		}
	}
	return nil
}

// cmdDescriptions: "descriptions DIRECTORY TO" copies the published descriptions of services out of a directory's folder.
func cmdDescriptions(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: descriptions DIRECTORY TO")
	}
	ts.Check(descriptionsOf(federation.Folder(ts.MkAbs(args[0])), ts.MkAbs(args[1])))
}

// cmdPin: "pin KEYFILE VAR" sets a variable to the pin of a TLS key, as the directory's document writes it.
func cmdPin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: pin KEYFILE VAR")
	}
	key, err := keys.Load(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Setenv(args[1], string(countersign.Pin(key.KeyID())))
}
