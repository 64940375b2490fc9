package mandate

import (
	"strings"

	"countersign.dev/countersign"
)

// kinds is a set of mandate kinds, one bit each.
type kinds uint8

func kindsOf(list ...countersign.MandateKind) (k kinds) {
	for _, m := range list {
		if m <= countersign.MandateLast {
			k |= 1 << m
		}
	}
	return k
}

func (k kinds) has(m countersign.MandateKind) bool {
	return m <= countersign.MandateLast && k&(1<<m) != 0
}

func (k kinds) list() (out []countersign.MandateKind) {
	for m := countersign.MandateNone; m <= countersign.MandateLast; m++ {
		if k.has(m) {
			out = append(out, m)
		}
	}
	return out
}

// String lists the kinds in words, joined by "or".
func (k kinds) String() string {
	var words []string
	for m := countersign.MandateNone; m <= countersign.MandateLast; m++ {
		if !k.has(m) {
			continue
		}
		if m == countersign.MandateNone {
			words = append(words, "the purpose alone")
			continue
		}
		if m == countersign.MandateOwn {
			words = append(words, "the person's own request")
			continue
		}
		words = append(words, m.String())
	}
	if len(words) == 0 {
		return "nothing"
	}
	return strings.Join(words, " or ")
}

// floor is the set of mandate kinds that a class accepts at all. A cell of the matrix may list fewer, never others: the federation narrows
// the protective classes and cannot widen them.
//
// An unknown class, and class N, accept nothing: no authority helps (A56).
func floor(c countersign.Class, special bool) kinds {
	switch c {
	case countersign.ClassOpen:
		return kindsOf(countersign.MandateNone, countersign.MandateRelation, countersign.MandateConsent, countersign.MandateWarrant,
			countersign.MandateEmergency, countersign.MandateProgramme, countersign.MandateOwn)
	case countersign.ClassRelation:
		k := kindsOf(countersign.MandateRelation, countersign.MandateConsent, countersign.MandateWarrant, countersign.MandateEmergency, countersign.MandateOwn)
		// LAW: Convention 108+ Art. 6: special categories only with appropriate safeguards; a purpose or volume alone is none.
		if !special {
			k |= kindsOf(countersign.MandateNone, countersign.MandateProgramme)
		}
		return k
	case countersign.ClassConsent:
		return kindsOf(countersign.MandateConsent, countersign.MandateEmergency, countersign.MandateOwn)
	case countersign.ClassConsentWarrant:
		return kindsOf(countersign.MandateConsent, countersign.MandateWarrant, countersign.MandateEmergency, countersign.MandateOwn)
	case countersign.ClassWarrant:
		// An emergency stands in for R, C and C/W, never for W alone.
		return kindsOf(countersign.MandateWarrant)
	}
	return 0
}

// stricter gives the class that protects more.
func stricter(a, b countersign.Class) countersign.Class {
	if a == "" || b.Rank() > a.Rank() {
		return b
	}
	return a
}
