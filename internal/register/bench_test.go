package register

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"countersign.dev/countersign"
)

// document makes a register's answer of about 4 KiB.
func document(children, filler int) []byte {
	var b strings.Builder
	b.WriteString(`{"pin":"4B7QX2Z","surname":"Həsənli","given":"Aygün","born":"1984-03-09","address":{"region":"Qarağac","city":"Yeniçay","street":"Bağ küçəsi","house":"14"},"children":[`)
	for i := range children {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"pin":"5C%05dA","given":"Uşaq %d","born":"2010-01-%02d","school":{"code":%d,"name":"Məktəb"}}`, i, i, i+1, 100+i)
	}
	b.WriteString(`],"history":{`)
	for i := range filler {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"event%02d":{"at":"2020-05-%02dT10:00:00Z","office":%d,"note":"no remark at all"}`, i, i%28+1, i*37)
	}
	b.WriteString(`}}`)
	return []byte(b.String())
}

var fiveFields = []countersign.FieldPath{"/pin", "/surname", "/address/city", "/children/*/pin", "/children/*/born"}

func BenchmarkApply4KiBFiveFields(b *testing.B) {
	body := document(8, 36)
	f, err := CompileFilter(fiveFields)
	if err != nil {
		b.Fatal(err)
	}
	header := http.Header{"Content-Type": {"application/json"}}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		out, released, err := f.Apply("application/json", header, body)
		if err != nil || len(released) != 5 || len(out) == 0 {
			b.Fatal(err, released)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	f, err := CompileFilter(fiveFields)
	if err != nil {
		b.Fatal(err)
	}
	body, _, err := f.Apply("application/json", nil, document(8, 36))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Check("application/json", nil, body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGuarded(b *testing.B) {
	body := bundle(8)
	f, err := CompileFilter([]countersign.FieldPath{
		"/entry/*/resource[Observation]/code/coding/*/code", "/entry/*/resource[Observation]/valueQuantity/value",
		"/entry/*/resource[Patient]/birthDate", "/entry/*/resource[Observation]/status", "/total",
	})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, released, err := f.Apply("application/fhir+json", nil, body); err != nil || len(released) != 5 {
			b.Fatal(err, released)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := CompileFilter(fiveFields); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFiltersGet(b *testing.B) {
	var c Filters
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Get(fiveFields); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPeople(b *testing.B) {
	p, err := CompilePeople([]countersign.FieldPath{"/pin", "/children/*/pin"})
	if err != nil {
		b.Fatal(err)
	}
	body := document(8, 36)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if ids, err := p.Find(body); err != nil || len(ids) != 9 {
			b.Fatal(err)
		}
	}
}

// bundle makes a FHIR R4 searchset with observations and one patient. All of it is invented.
func bundle(observations int) []byte {
	var b strings.Builder
	b.WriteString(`{"resourceType":"Bundle","type":"searchset","total":9,"entry":[{"resource":{"resourceType":"Patient","id":"p1","birthDate":"1984-03-09","name":[{"family":"Həsənli"}]}}`)
	for i := range observations {
		fmt.Fprintf(&b, `,{"fullUrl":"urn:uuid:0000%d","resource":{"id":"o%d","code":{"coding":[{"system":"http://loinc.org","code":"718-7","display":"Hemoglobin"}],"text":"Hb"},`+
			`"subject":{"reference":"Patient/p1"},"status":"final","valueQuantity":{"value":%d.50,"unit":"g/dL"},"extension":[{"url":"urn:x","valueString":"secret"}],"resourceType":"Observation"}}`, i, i, 7+i)
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}
