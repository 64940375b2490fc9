package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/keys"
)

// recordsOf reads a member's own record as its operator does, beside the running gateway; newest first.
func recordsOf(d *demoFile, code string, c recordCmd) ([]recordLine, error) {
	m, ok := d.Members[code]
	if !ok {
		return nil, fmt.Errorf("the federation runs no gateway of %q", code)
	}
	var out, errs bytes.Buffer
	limit := c.Limit
	c.Config, c.JSON, c.Limit = m.Config, true, limit+60 // sealed slots come one a minute, used or empty, and are left out below
	if err := c.Run(context.Background(), streams{&out, &errs}); err != nil {
		return nil, err
	}
	var lines []recordLine
	for dec := json.NewDecoder(&out); ; {
		var l recordLine
		if err := dec.Decode(&l); err == io.EOF {
			if limit > 0 && len(lines) > limit {
				lines = lines[:limit]
			}
			return lines, nil
		} else if err != nil {
			return nil, err
		}
		if l.Leaf.Kind != countersign.LeafSealed {
			lines = append(lines, l)
		}
	}
}

// cmdRecord: "record MUN [exchange=ID] [person=ID] [limit=N]" prints the member's records as a JSON list, newest first.
func cmdRecord(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: record AGENCY [exchange=ID] [person=pin:X] [limit=N]")
	}
	c := recordCmd{Limit: 1000}
	for _, a := range args[1:] {
		name, value, _ := strings.Cut(a, "=")
		var err error
		switch name {
		case "exchange":
			c.Exchange, err = countersign.ParseExchangeID(value)
		case "person":
			c.Person = value
		case "limit":
			c.Limit, err = strconv.Atoi(value)
		default:
			err = errUsage
		}
		ts.Check(err)
	}
	lines, err := recordsOf(storyOf(ts).d, args[0], c)
	ts.Check(err)
	if lines == nil {
		lines = []recordLine{}
	}
	ts.Check(json.NewEncoder(ts.Stdout()).Encode(lines))
}

// logReader reads a member's log over HTTP as another member's gateway may, and believes nothing that it has not checked.
type logReader struct {
	base     string
	verifier note.Verifier
	client   *http.Client
}

// readerOf reads the log of one member with the TLS key of another.
func readerOf(d *demoFile, of, as string) (*logReader, error) {
	key, err := keys.Load(filepath.Join(d.Members[as].Keys, keyTLS))
	if err != nil {
		return nil, err
	}
	cert, err := keys.SelfSigned(key)
	if err != nil {
		return nil, err
	}
	document, err := readDocument(d.path("federation.json"))
	if err != nil {
		return nil, err
	}
	for _, m := range document.Members {
		if m.ID == d.Members[of].ID {
			v, err := note.NewVerifier(m.Gateways[0].Log.VKey)
			if err != nil {
				return nil, err
			}
			pin, err := keys.ParseSPKIDigest(countersign.KeyID(m.Gateways[0].TLS[0]))
			if err != nil {
				return nil, err
			}
			only := func(peer keys.SPKIDigest) error {
				if peer != pin {
					return countersign.Refuse(countersign.CodeSignature, "another key answers")
				}
				return nil
			}
			return &logReader{d.Members[of].Peer + "/log", v, &http.Client{
				Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: keys.PinnedClient(cert, only), DisableKeepAlives: true},
			}}, nil
		}
	}
	return nil, fmt.Errorf("the directory has no %s", of)
}

func (r *logReader) get(path string) ([]byte, error) {
	res, err := r.client.Get(r.base + path)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, res.Status)
	}
	return io.ReadAll(io.LimitReader(res.Body, 16<<20))
}

// checkpoint reads the signed head.
func (r *logReader) checkpoint() (tlog.Tree, error) {
	text, err := r.get("/checkpoint")
	if err != nil {
		return tlog.Tree{}, err
	}
	n, err := note.Open(text, note.VerifierList(r.verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 3 || lines[0] != r.verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("the checkpoint is of %q", lines[0])
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	hash, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: hash}, err
}

// leaves reads every leaf below a signed head of at least so many, waiting for it, and checks them against its root.
func (r *logReader) leaves(ctx context.Context, least uint64) ([]*countersign.Leaf, error) {
	tree, err := r.checkpoint()
	for err != nil || uint64(tree.N) < least {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the log shows %d leaves and %d are due: %w", tree.N, least, err)
		case <-time.After(50 * time.Millisecond):
		}
		tree, err = r.checkpoint()
	}
	var out []*countersign.Leaf
	var hashes []tlog.Hash
	for first := int64(0); first < tree.N; first += 256 {
		t := tlog.Tile{H: 8, L: -1, N: first / 256, W: int(min(256, tree.N-first))}
		bundle, err := r.get("/" + strings.Replace(strings.TrimPrefix(t.Path(), "tile/8/"), "data/", "tile/entries/", 1))
		if err != nil {
			return nil, err
		}
		for len(bundle) >= 2 {
			n := int(bundle[0])<<8 | int(bundle[1])
			if len(bundle) < 2+n {
				return nil, fmt.Errorf("the bundle at %d is cut", first)
			}
			leaf, err := countersign.ParseLeaf(bundle[2 : 2+n])
			if err != nil {
				return nil, err
			}
			out = append(out, leaf)
			hs, err := tlog.StoredHashes(int64(len(out))-1, bundle[2:2+n], hashReader(hashes))
			if err != nil {
				return nil, err
			}
			hashes, bundle = append(hashes, hs...), bundle[2+n:]
		}
	}
	root, err := tlog.TreeHash(tree.N, hashReader(hashes))
	if err != nil {
		return nil, err
	}
	if root != tree.Hash || int64(len(out)) != tree.N {
		return nil, fmt.Errorf("the log's %d leaves do not hash to its signed root", len(out))
	}
	return out, nil
}

type hashReader []tlog.Hash

// ReadHashes implements tlog.HashReader.
func (h hashReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x < 0 || x >= int64(len(h)) {
			return nil, fmt.Errorf("no hash %d", x)
		}
		out[i] = h[x]
	}
	return out, nil
}

// exchangesBetween reads the leaves of both logs about exchanges in which one asks the other, by commitment and outcome. Release leaves of
// streams are left out: their completion says the same and more.
func exchangesBetween(d *demoFile, consumer, provider string) (asked, answered map[countersign.Commitment]*countersign.Leaf, err error) {
	read := func(of, as string, side countersign.Side) (map[countersign.Commitment]*countersign.Leaf, error) {
		stored, err := recordsOf(d, of, recordCmd{Limit: 1})
		if err != nil {
			return nil, err
		}
		r, err := readerOf(d, of, as)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		var least uint64
		if len(stored) > 0 { // the log must show at least what the member itself has
			least = stored[0].Index + 1
		}
		leaves, err := r.leaves(ctx, least)
		if err != nil {
			return nil, fmt.Errorf("the log of %s: %w", of, err)
		}
		out := map[countersign.Commitment]*countersign.Leaf{}
		for _, l := range leaves {
			if l.Side != side || l.Kind == countersign.LeafRelease || !strings.HasPrefix(l.Consumer, d.Members[consumer].ID.String()+"/") ||
				!strings.HasPrefix(l.Service, d.Members[provider].ID.String()+"/") {
				continue
			}
			if out[l.Commitment] != nil {
				return nil, fmt.Errorf("the log of %s holds a commitment twice", of)
			}
			out[l.Commitment] = l
		}
		return out, nil
	}
	if asked, err = read(consumer, provider, countersign.SideConsumer); err != nil {
		return nil, nil, err
	}
	answered, err = read(provider, consumer, countersign.SideProvider)
	return asked, answered, err
}

// cmdPaired: "paired MUN POP [both=N] [consumer=N] [provider=N]": an auditor's view. It reads both logs over HTTP, checks them against their
// signed roots, and counts the exchanges that stand in both, in the consumer's log alone and in the provider's alone. Counts not given are 0.
// It prints what it found, by outcome.
func cmdPaired(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: paired CONSUMER PROVIDER [both=N] [consumer=N] [provider=N]")
	}
	want := map[string]int{"both": 0, "consumer": 0, "provider": 0}
	for _, a := range args[2:] {
		name, value, _ := strings.Cut(a, "=")
		if _, ok := want[name]; !ok {
			ts.Fatalf("%v: no place %q", errUsage, name)
		}
		n, err := strconv.Atoi(value)
		ts.Check(err)
		want[name] = n
	}
	asked, answered, err := exchangesBetween(storyOf(ts).d, args[0], args[1])
	ts.Check(err)
	got := map[string]int{"both": 0, "consumer": 0, "provider": 0}
	var lines []string
	for c, l := range asked {
		if a := answered[c]; a != nil {
			got["both"]++
			lines = append(lines, fmt.Sprintf("both: consumer says %s, provider says %s, %s for %s", l.Outcome, a.Outcome, l.Service, l.Purpose))
			continue
		}
		got["consumer"]++
		lines = append(lines, fmt.Sprintf("consumer alone: %s, %s for %s", l.Outcome, l.Service, l.Purpose))
	}
	for c, a := range answered {
		if asked[c] == nil {
			got["provider"]++
			lines = append(lines, fmt.Sprintf("provider alone: %s, %s for %s", a.Outcome, a.Service, a.Purpose))
		}
	}
	slices.Sort(lines)
	fmt.Fprintln(ts.Stdout(), strings.Join(lines, "\n"))
	if !maps.Equal(got, want) {
		ts.Fatalf("the logs hold %v, not %v", got, want)
	}
}

// cmdNowhere: "nowhere DIR TEXT…" reads every file below a folder and fails where one of the texts stands in any, in plain bytes.
// "! nowhere" expects to find each of them somewhere: a story thereby shows that it would have been found.
func cmdNowhere(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: nowhere DIR TEXT…")
	}
	found, err := grepTree(ts.MkAbs(args[0]), args[1:])
	ts.Check(err)
	for _, text := range args[1:] {
		files := found[text]
		if neg && len(files) == 0 {
			ts.Fatalf("%q stands nowhere", text)
		}
		if !neg && len(files) > 0 {
			ts.Fatalf("%q stands in %s", text, strings.Join(files, ", "))
		}
	}
}

// grepTree finds texts in every regular file below a folder. Text that a database spreads over pages would escape it; texts here are short.
func grepTree(dir string, texts []string) (map[string][]string, error) {
	found := map[string][]string{}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(root.FS(), ".", func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a journal that a running part has just removed
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		content, err := root.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		for _, t := range texts {
			if bytes.Contains(content, []byte(t)) {
				found[t] = append(found[t], path)
			}
		}
		return err
	})
	if cerr := root.Close(); err == nil {
		err = cerr
	}
	return found, err
}
