package registers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"countersign.dev/countersign/demo/country"
)

const testSeed = 42

var testConfig = country.Config{People: country.MinPeople, Seed: testSeed}

// buildFolder makes the small test country in a folder of the test's own.
func buildFolder(t testing.TB) (string, *country.Atlas) {
	t.Helper()
	dir := t.TempDir()
	if err := Build(t.Context(), dir, testConfig, nil); err != nil {
		t.Fatal(err)
	}
	atlas, err := country.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, atlas
}

// serve runs an agency's register on a socket of its own until the test ends, and returns its address.
func serve(t testing.TB, agency country.AgencyCode, dir string) string {
	t.Helper()
	base, _ := serveUntil(t, agency, dir)
	return base
}

// serveUntil is serve with a function that ends the service and returns its error.
func serveUntil(t testing.TB, agency country.AgencyCode, dir string) (string, func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, agency, DBPath(dir, agency), listener) }()
	stop := sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("register %s: %v", agency, err)
		}
	})
	return "http://" + listener.Addr().String(), stop
}

// reply is an answer that was read to its end.
type reply struct {
	status int
	header http.Header
	length int64 // as announced
	body   []byte
}

func request(t testing.TB, method, url, body string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, res.ContentLength, answer}
}

func getInto(t testing.TB, url string, into any) {
	t.Helper()
	got := request(t, http.MethodGet, url, "")
	if got.status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", url, got.status, got.body)
	}
	if err := json.Unmarshal(got.body, into); err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
}

func TestBuildKeepsWhatIsThere(t *testing.T) {
	dir, atlas := buildFolder(t)
	pin := string(atlas.Cast.Applicant.PIN)
	base, stop := serveUntil(t, country.POP, dir)
	move := `{"region":"Paytaxt","city":"Nurşəhər","street":"Əncir küçəsi","house":"7","flat":"3","postcode":"DM1001","since":"2026-02-01"}`
	if got := request(t, http.MethodPut, base+"/person/"+pin+"/address", move); got.status != http.StatusOK {
		t.Fatalf("PUT: %d %s", got.status, got.body)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []country.Config{testConfig, {}} {
		if err := Build(t.Context(), dir, cfg, nil); err != nil {
			t.Fatalf("again with %+v: %v", cfg, err)
		}
	}
	var r residenceAnswer
	getInto(t, serve(t, country.POP, dir)+"/residence/"+pin, &r)
	want := residenceAnswer{pin, addressAnswer{"Paytaxt", "Nurşəhər", "Əncir küçəsi", "7", "3", "DM1001"}, "2026-02-01", 1}
	if r != want {
		t.Errorf("after a restart the residence is %+v, want %+v", r, want)
	}
}

func TestBuildMakesWhatIsMissing(t *testing.T) {
	dir, atlas := buildFolder(t)
	before, err := os.Stat(DBPath(dir, country.VEH))
	if err != nil {
		t.Fatal(err)
	}
	// As after an interruption: one register half made under its draft's name, no atlas yet.
	for _, path := range []string{DBPath(dir, country.POL), filepath.Join(dir, country.AtlasFile)} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(DBPath(dir, country.POL)+".new", []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := country.Open(dir); !errors.Is(err, country.ErrNoAtlas) {
		t.Errorf("opening half a folder: %v", err)
	}
	if err := Build(t.Context(), dir, testConfig, nil); err != nil {
		t.Fatal(err)
	}
	again, err := country.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again.Digest != atlas.Digest || again.Cast != atlas.Cast {
		t.Error("the atlas changed")
	}
	if after, err := os.Stat(DBPath(dir, country.VEH)); err != nil || !os.SameFile(before, after) {
		t.Errorf("a register that was there was made anew (%v)", err)
	}
	var w struct{ Wanted bool }
	getInto(t, serve(t, country.POL, dir)+"/wanted/"+string(atlas.Cast.Wanted.PIN), &w)
	if !w.Wanted {
		t.Error("the register made anew does not know the wanted person")
	}
}

func TestBuildRefusesAnotherCountry(t *testing.T) {
	dir, _ := buildFolder(t)
	for _, cfg := range []country.Config{{People: country.MinPeople, Seed: testSeed + 1}, {People: country.MinPeople + 1, Seed: testSeed}} {
		if err := Build(t.Context(), dir, cfg, nil); !errors.Is(err, ErrOtherCountry) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	if err := os.Rename(DBPath(dir, country.SOC), DBPath(dir, country.POL)); err != nil {
		t.Fatal(err)
	}
	if err := Build(t.Context(), dir, testConfig, nil); err == nil {
		t.Error("one agency's file was taken for another's")
	}
}

func TestBuildTellsProgressAndStops(t *testing.T) {
	stages := map[string]bool{}
	if err := Build(t.Context(), t.TempDir(), testConfig, func(stage string, _, _ int) { stages[stage] = true }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"people", "households", "register POP", "register POL"} {
		if !stages[want] {
			t.Errorf("nothing was told of %q", want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	err := Build(ctx, dir, testConfig, func(stage string, _, _ int) {
		if strings.HasPrefix(stage, "register") {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("a cancelled build gave %v", err)
	}
	if err := Build(t.Context(), dir, testConfig, nil); err != nil {
		t.Fatalf("after a cancelled build: %v", err)
	}
}

func TestServeRefusesWhatIsNotItsRegister(t *testing.T) {
	dir, _ := buildFolder(t)
	for name, path := range map[string]string{"another's": DBPath(dir, country.VEH), "missing": filepath.Join(dir, "none.db")} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := Serve(t.Context(), country.POP, path, listener); err == nil {
			t.Errorf("%s file was served", name)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "none.db")); err == nil {
		t.Error("serving a missing file made one")
	}
}

// TestAgreesWithTheCountry asks the population register about everybody and compares with the country.
func TestAgreesWithTheCountry(t *testing.T) {
	dir, atlas := buildFolder(t)
	c, err := country.Generate(t.Context(), testConfig, nil)
	if err != nil {
		t.Fatal(err)
	}
	base := serve(t, country.POP, dir)
	for i, pin := range atlas.PINs {
		p := c.People[i]
		var a personAnswer
		getInto(t, base+"/person/"+string(pin), &a)
		if a.PIN != string(p.PIN) || a.Surname != p.Surname || a.BirthDate != p.Born.String() || a.PhotoDigest != p.PhotoDigest.String() ||
			country.Address(a.Address) != c.Home(country.Index(i)) || a.MaritalStatus != c.MaritalStatus(country.Index(i)) {
			t.Fatalf("person %d: %+v, want %+v", i, a, p)
		}
		var f familyAnswer
		getInto(t, base+"/family/"+string(pin), &f)
		children := c.Children(country.Index(i))
		if len(f.Children) != len(children) || (f.Spouse != nil) != (p.Spouse != country.None) || (len(f.Parents) == 2) != (p.Mother != country.None) {
			t.Fatalf("family of person %d: %+v", i, f)
		}
		if f.Spouse != nil && f.Spouse.PIN != string(c.People[p.Spouse].PIN) {
			t.Errorf("person %d has another spouse", i)
		}
		for k, child := range children {
			if f.Children[k].PIN != string(c.People[child].PIN) {
				t.Errorf("person %d has another child", i)
			}
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	dir, atlas := buildFolder(t)
	base := serve(t, country.POP, dir)
	const workers = 16
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(atlas.PINs); i += workers {
				move := `{"region":"Paytaxt","city":"Nurşəhər","street":"Nar küçəsi","house":"1","postcode":"DM1001","since":"2026-02-01"}`
				url := base + "/person/" + string(atlas.PINs[i])
				if got := request(t, http.MethodPut, url+"/address", move); got.status != http.StatusOK {
					t.Errorf("PUT: %d %s", got.status, got.body)
				}
				if got := request(t, http.MethodGet, url, ""); got.status != http.StatusOK || !bytes.Contains(got.body, []byte("Nar küçəsi")) {
					t.Errorf("GET: %d", got.status)
				}
			}
		})
	}
	wg.Wait()
	var r residenceAnswer
	getInto(t, base+"/residence/"+string(atlas.PINs[0]), &r)
	if r.HouseholdSize != len(atlas.PINs) {
		t.Errorf("%d people live there, want everybody", r.HouseholdSize)
	}
}
