package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"testing"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/internal/xroad"
)

// streamed is how much passes through a pair: 100 MiB, and no process of it may hold more than 150.
const (
	streamed    = 100 << 20
	streamBound = 150
)

// running is a federation of some agencies that ends with the test.
func running(t *testing.T, plan demoPlan) (*demoFile, *fleet) {
	t.Helper()
	d, f, err := testFederation(t.Context(), t.TempDir(), plan)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.stop()
		if err := checkParts(d); err != nil {
			t.Error(err)
		}
	})
	if err := f.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d, f
}

// do sends a question and leaves its answer to be read.
func do(t *testing.T, d *demoFile, body io.Reader, size int64, question ...string) *http.Response {
	t.Helper()
	req, err := questionOf(d, question)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Body, req.ContentLength = io.NopCloser(body), size
	}
	res, err := storyClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
		t.Fatalf("%v: %s %s", question, res.Status, text)
	}
	return res
}

// kinds are the leaves that one member's log holds of an exchange, each with its outcome.
func kinds(t *testing.T, d *demoFile, code, exchange string) []string {
	t.Helper()
	id, err := countersign.ParseExchangeID(exchange)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := recordsOf(d, code, recordCmd{Exchange: id})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range lines {
		if !l.Opens {
			t.Errorf("the record at %d of %s does not open its leaf", l.Index, code)
		}
		out = append(out, l.Leaf.Kind.String()+" "+l.Leaf.Outcome.String())
	}
	slices.Sort(out)
	return out
}

func checkMemory(t *testing.T, f *fleet, parts ...string) {
	t.Helper()
	for _, name := range parts {
		peak, err := memoryPeak(f.part(name).pid())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s held %.0f MiB at most", name, peak)
		if peak > memoryBound(streamBound) {
			t.Errorf("%s held %.0f MiB: %.0f are allowed", name, peak, memoryBound(streamBound))
		}
	}
}

// A class O answer of 100 MiB passes whole, in little memory, with a release and a completion on both records.
func TestStreamsPassInLittleMemory(t *testing.T) {
	t.Parallel()
	d, f := running(t, demoPlan{agencies: []string{law.MUN, law.POP}})
	want, err := digestOf(d.Members[law.MUN].Register + "/opendata/parcels?bytes=" + strconv.Itoa(streamed))
	if err != nil {
		t.Fatal(err)
	}

	res := do(t, d, nil, 0, law.POP, "MUN/opendata/parcels?bytes="+strconv.Itoa(streamed), "-")
	got := sha256.New()
	n, err := io.Copy(got, res.Body)
	if err != nil || n != streamed {
		t.Fatalf("%d bytes came: %v", n, err)
	}
	if sum := hex.EncodeToString(got.Sum(nil)); sum != want {
		t.Errorf("what came has the digest %s, and what the register sent %s", sum, want)
	}
	id := res.Header.Get(xroad.HeaderRequestID)
	if k := kinds(t, d, law.MUN, id); !slices.Equal(k, []string{"completion released", "release released"}) {
		t.Errorf("the provider's log holds %q", k)
	}
	if k := kinds(t, d, law.POP, id); !slices.Equal(k, []string{"completion received", "release received"}) {
		t.Errorf("the consumer's log holds %q", k)
	}

	upload(t, d)
	checkMemory(t, f, "gateway-mun", "gateway-pop")
}

// upload sends 100 MiB to the open echo, which tells the digest of what reached it.
func upload(t *testing.T, d *demoFile) {
	t.Helper()
	sent := sha256.New()
	body := io.TeeReader(io.LimitReader(endless('x'), streamed), sent)
	res := do(t, d, body, streamed, law.POP, "MUN/echo", "-", "method=POST")
	var account struct {
		BodyLength int    `json:"body_length"`
		BodySHA256 string `json:"body_sha256"`
	}
	text, err := io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(text, &account)
	}
	if err != nil {
		t.Fatal(err)
	}
	if sum := hex.EncodeToString(sent.Sum(nil)); account.BodyLength != streamed || account.BodySHA256 != sum {
		t.Errorf("%d bytes with the digest %s reached the service; %d with %s were sent", account.BodyLength, account.BodySHA256, streamed, sum)
	}
	id := res.Header.Get(xroad.HeaderRequestID)
	if p, c := kinds(t, d, law.MUN, id), kinds(t, d, law.POP, id); !slices.Equal(p, []string{"completion released", "release released"}) || !slices.Equal(c, []string{"completion received", "release received"}) {
		t.Errorf("the logs hold %q and %q", p, c)
	}
}

func digestOf(url string) (string, error) {
	res, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, res.Body)
	return hex.EncodeToString(sum.Sum(nil)), err
}

// A stream that ends before its end is not taken for whole by anyone: not by the client, not by either log.
func TestCutStreamsAreNotTakenForWhole(t *testing.T) {
	t.Parallel()
	for _, killed := range []string{"register-mun", "gateway-mun"} {
		t.Run(killed, func(t *testing.T) {
			t.Parallel()
			d, f := running(t, demoPlan{agencies: []string{law.MUN, law.POP}})
			res := do(t, d, nil, 0, law.POP, "MUN/opendata/parcels?bytes="+strconv.Itoa(streamed), "-")
			got := sha256.New()
			if _, err := io.CopyN(got, res.Body, 1<<20); err != nil {
				t.Fatal(err)
			}
			f.part(killed).kill()
			n, err := io.Copy(got, res.Body)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("after %d more bytes the client was told %v", n, err)
			}
			id := res.Header.Get(xroad.HeaderRequestID)
			if err := f.part(killed).start(f.self); err != nil {
				t.Fatal(err)
			}
			if err := f.part(killed).await(t.Context()); err != nil {
				t.Fatal(err)
			}
			// What became of the stream its provider tells, so that the consumer closes it when the provider is there.
			if k := awaitKinds(t, d, law.POP, id, 2); !slices.Equal(k, []string{"completion not-accepted", "release received"}) {
				t.Errorf("the consumer's log holds %q", k)
			}
			// A provider that lives on records that its stream broke off; one that died has its beginning alone.
			want := []string{"completion failed", "release released"}
			if killed == "gateway-mun" {
				want = want[1:]
			}
			if k := kinds(t, d, law.MUN, id); !slices.Equal(k, want) {
				t.Errorf("the provider's log holds %q", k)
			}
			if n := len(do(t, d, nil, 0, law.POP, "MUN/opendata/parcels?bytes=1000", "-").Header.Get("Countersign-Receipt")); n == 0 {
				t.Error("afterwards an answer has no receipt")
			}
		})
	}
}

// awaitKinds waits until a log holds so many leaves of an exchange: the record of a cut stream is made as the connection ends.
func awaitKinds(t *testing.T, d *demoFile, code, exchange string, n int) (k []string) {
	t.Helper()
	ctx, cancel := contextOf(t)
	defer cancel()
	err := until(ctx, func() error {
		if k = kinds(t, d, code, exchange); len(k) < n {
			return errors.New("the log holds too few leaves")
		}
		return nil
	})
	if err != nil {
		t.Errorf("%v: %q", err, k)
	}
	return k
}
