package mandate

import (
	"fmt"
	"testing"

	"countersign.dev/countersign"
)

// large is the fixture with 200 purposes and 500 rules. Most rules speak of one service or one purpose, as rules do; twenty reach the
// asked service and purpose and are evaluated.
func large() *countersign.Directory {
	d := fixture()
	for i := range 195 {
		code := countersign.PurposeCode(fmt.Sprintf("purpose-%03d", i))
		d.Purposes = append(d.Purposes, countersign.Purpose{Code: code, Bases: []countersign.BasisCode{"social-9"}, Assurance: 2, Retention: 1})
		d.Matrix = append(d.Matrix, countersign.Cell{Purpose: code, Category: "identity", Mandates: []countersign.MandateKind{countersign.MandateNone}})
		d.Services[0].Grants = append(d.Services[0].Grants, countersign.Grant{Purpose: code, Clients: []string{"*"}, Fields: list("/pin /name")})
	}
	for i := range 500 {
		var policy string
		switch {
		case i < 5:
			policy = `forbid (principal, action, resource) when { context.hour > 24 };`
		case i < 10:
			policy = `forbid (principal, action, resource == Service::"DEMO/GOV/POP/registry/person") when { context.assurance < 1 };`
		case i < 15:
			policy = `forbid (principal in Member::"DEMO/GOV/SOC", action, resource) when { context.class == "W" };`
		case i < 20:
			policy = `forbid (principal, action, resource) when { context.purpose == "benefit" && context.weekday > 5 };`
		case i < 300:
			policy = fmt.Sprintf(`forbid (principal, action, resource) when { context.purpose == "purpose-%03d" && context.hour < 8 };`, i%195)
		case i < 400:
			policy = `forbid (principal in Member::"DEMO/GOV/POL", action, resource) when { context.hour < 8 };`
		default:
			policy = `forbid (principal, action, resource == Service::"DEMO/GOV/CLN/registry/records") when { context.hour < 8 };`
		}
		d.Rules = append(d.Rules, countersign.Rule{ID: fmt.Sprintf("r%03d", i), Policy: policy})
	}
	return d
}

func BenchmarkDecide(b *testing.B) {
	for _, c := range []struct {
		name string
		d    *countersign.Directory
	}{{"200purposes500rules", large()}, {"norules", fixture()}} {
		p := compiled(b, c.d)
		q := benefitQuestion()
		if d := p.Decide(q); !d.Allowed() {
			b.Fatal(d.Err())
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := p.Decide(q); !d.Allowed() {
					b.Fatal("refused")
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	d := large()
	for b.Loop() {
		if _, err := Compile(d); err != nil {
			b.Fatal(err)
		}
	}
}
