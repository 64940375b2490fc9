package web

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/BurntSushi/toml"

	"countersign.dev/countersign"
)

func load(t *testing.T) *Locales {
	t.Helper()
	l, err := LoadLocales()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// messages reads one locale file as it is written.
func messages(t *testing.T, tag string) map[string]any {
	t.Helper()
	b, err := fs.ReadFile(localeFiles, "locale/"+tag+".toml")
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := toml.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

var value = regexp.MustCompile(`\{\{\.(\w+)\}\}`)

// values names what a message is given, in all its plural forms together.
func values(message any) []string {
	var all []string
	switch m := message.(type) {
	case string:
		all = append(all, m)
	case map[string]any:
		for _, form := range m {
			all = append(all, form.(string))
		}
	}
	var names []string
	for _, hit := range value.FindAllStringSubmatch(strings.Join(all, " "), -1) {
		names = append(names, hit[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestEveryLanguageSaysEverything(t *testing.T) {
	plurals := map[string][]string{"en": {"one", "other"}, "az": {"one", "other"}, "ru": {"few", "many", "one", "other"}}
	english := messages(t, "en")
	tags := load(t).Tags()
	if !slices.Equal(tags, []string{"az", "en", "ru"}) {
		t.Fatalf("the languages are %q", tags)
	}
	for _, tag := range tags {
		theirs := messages(t, tag)
		for id, m := range english {
			other, ok := theirs[id]
			if !ok {
				t.Errorf("%s lacks %q", tag, id)
				continue
			}
			for _, name := range values(other) {
				if !slices.Contains(values(m), name) {
					t.Errorf("%s: %q uses %s, which its English form does not", tag, id, name)
				}
			}
			_, counted := m.(map[string]any)
			forms, theirsCounted := other.(map[string]any)
			if counted != theirsCounted {
				t.Errorf("%s: %q has plural forms in one language and none in the other", tag, id)
			}
			for _, form := range plurals[tag] {
				if text, _ := forms[form].(string); counted && text == "" {
					t.Errorf("%s: %q lacks the plural form %q", tag, id, form)
				}
			}
		}
		for id := range theirs {
			if _, ok := english[id]; !ok {
				t.Errorf("%s has %q, which English lacks", tag, id)
			}
		}
	}
}

// TestPagesAskForMessagesThatExist finds messages that templates name in full.
func TestPagesAskForMessagesThatExist(t *testing.T) {
	english := messages(t, "en")
	asks := regexp.MustCompile(`\bf\.[TN]\("([a-z0-9.-]+)"[,)]`)
	found := 0
	for _, pattern := range []string{"page/*.templ", "page/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, hit := range asks.FindAllStringSubmatch(string(b), -1) {
				found++
				if _, ok := english[hit[1]]; !ok {
					t.Errorf("%s asks for %q, which no locale has", file, hit[1])
				}
			}
		}
	}
	if found < 200 {
		t.Errorf("only %d messages were found in the templates: the search for them is broken", found)
	}
}

func TestPlurals(t *testing.T) {
	l := load(t)
	for tag, want := range map[string]map[int]string{
		"en": {1: "1 day", 2: "2 days", 5: "5 days", 21: "21 days"},
		"az": {1: "1 gün", 5: "5 gün"},
		"ru": {1: "1 день", 2: "2 дня", 5: "5 дней", 11: "11 дней", 21: "21 день", 1004: "1 004 дня"},
	} {
		for n, text := range want {
			if got := strings.ReplaceAll(l.In(tag, nil).N("span.days", n), "\u00a0", " "); got != text {
				t.Errorf("%s: %d gives %q, want %q", tag, n, got, text)
			}
		}
	}
}

func TestDates(t *testing.T) {
	l := load(t)
	at := time.Date(2026, 3, 11, 22, 5, 9, 0, time.UTC)
	east := time.FixedZone("UTC+4", 4*3600) // where it is the next day
	for tag, want := range map[string][2]string{
		"en": {"Thursday, 12 March 2026", "12 March 2026 at 02:05"},
		"az": {"12 mart 2026, cümə axşamı", "12 mart 2026, saat 02:05"},
		"ru": {"четверг, 12 марта 2026 г.", "12 марта 2026 г., 02:05"},
	} {
		x := l.In(tag, east)
		if got := [2]string{x.Weekday(at), x.Moment(at)}; got != want {
			t.Errorf("%s: %q, want %q", tag, got, want)
		}
		if got := x.Exact(at); got != "02:05:09 (UTC+04:00)" {
			t.Errorf("%s: exact time %q", tag, got)
		}
	}
}

func TestSpans(t *testing.T) {
	const day = 24 * time.Hour
	x := load(t).In("en", nil)
	for d, want := range map[time.Duration]string{
		10 * time.Second: "1 minute", 90 * time.Minute: "1 hour", 30 * day: "30 days", 90 * day: "3 months", 180 * day: "6 months", 365 * day: "1 year",
		730 * day: "2 years", 1095 * day: "3 years", 3653 * day: "10 years", 400 * day: "400 days",
	} {
		if got := x.Lasts(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestSorting(t *testing.T) {
	l := load(t)
	words := []string{"Şəki", "Zaqatala", "Çinar", "Dağ", "Əhali", "Eldar", "İsmayıl", "Iraq", "Cavid", "Fərid"}
	SortBy(l.In("az", nil), words, func(s string) string { return s })
	// SPEC: CLDR, collation az: c < ç, e < ə < f, ı before i, s < ş.
	want := []string{"Cavid", "Çinar", "Dağ", "Eldar", "Əhali", "Fərid", "Iraq", "İsmayıl", "Şəki", "Zaqatala"}
	if !slices.Equal(words, want) {
		t.Errorf("sorted %q, want %q", words, want)
	}
}

func TestFieldNames(t *testing.T) {
	l := load(t)
	en, az := l.In("en", nil), l.In("az", nil)
	for path, want := range map[countersign.FieldPath]string{
		"/address/city": "City of residence", "/address/street": "Address: street", "/children/*/givenName": "Children: first name", "/unheardOf/newThing_2": "Unheard of: new thing 2",
		"/licence/categories/*": "Driving licence: classes", "/entry/*/resource[Condition]/code/coding/*/display": "Illness, code: name", "*": "Everything that the service answers",
		"/VINCode": "VINCode",
	} {
		if got := en.Field(path); !strings.EqualFold(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if got := az.Lower("İl"); got != "il" {
		t.Errorf("İl is lowered to %q", got)
	}
	groups := en.Fields([]countersign.FieldPath{"/address", "/address/city", "/address/street", "/since"})
	if len(groups) != 2 || len(groups[0].Fields) != 2 || groups[1].Name != "" {
		t.Errorf("a list beside its elements is not left out, or fields are not grouped: %+v", groups)
	}
}

func TestMatch(t *testing.T) {
	l := load(t)
	for _, c := range []struct {
		want   string
		wishes []string
	}{
		{"az", []string{"", "az-Latn-AZ,en;q=0.5"}}, {"ru", []string{"ru", "az"}}, {"en", []string{"ja", "*;q=0.1"}}, {"en", []string{"%%%"}}, {"az", []string{"ja", "az"}},
	} {
		if got := l.Match(c.wishes...); got != c.want {
			t.Errorf("%q chose %s, want %s", c.wishes, got, c.want)
		}
	}
}

// TestALocaleIsAFile adds a language by a file alone; what it lacks is shown in English and noted.
func TestALocaleIsAFile(t *testing.T) {
	english, err := fs.ReadFile(localeFiles, "locale/en.toml")
	if err != nil {
		t.Fatal(err)
	}
	l, err := ReadLocales(fstest.MapFS{
		"locale/en.toml": {Data: english}, "locale/ka.toml": {Data: []byte("\"language.name\" = \"ქართული\"\n\"logout\" = \"გასვლა\"\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	x := l.In("ka", nil)
	if x.T("logout") != "გასვლა" || x.T("skip") != "Skip to the content" || x.T("no.such") != "no.such" {
		t.Errorf("got %q, %q, %q", x.T("logout"), x.T("skip"), x.T("no.such"))
	}
	if want := []string{"ka no.such", "ka skip"}; !slices.Equal(l.Missing(), want) {
		t.Errorf("missing %q, want %q", l.Missing(), want)
	}
	if _, err := ReadLocales(fstest.MapFS{"locale/ka.toml": {Data: []byte("\"a\" = \"b\"")}}); err == nil {
		t.Error("locales without English were accepted")
	}
	if _, err := ReadLocales(fstest.MapFS{"locale/en.toml": {Data: english}, "locale/not a tag.toml": {}}); err == nil {
		t.Error("a file that is not named after a language was accepted")
	}
}
