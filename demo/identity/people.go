package identity

import (
	"reflect"
	"strings"

	"countersign.dev/countersign/demo/country"
)

// People gives the accounts of everybody in a country, and those of its cast to be shown.
func People(a *country.Atlas) (find func(string) (Account, bool), shown []Account) {
	known := make(map[country.PIN]bool, len(a.PINs))
	for _, p := range a.PINs {
		known[p] = true
	}
	for role, r := range roles(a.Cast) {
		shown = append(shown, Account{Subject: string(r.PIN), Name: r.GivenName + " " + r.Surname, Note: role})
	}
	find = func(text string) (Account, bool) {
		pin := strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(text))
		return Account{Subject: pin}, known[country.PIN(pin)]
	}
	return find, shown
}

// roles walks the named people of a cast, in the order in which the cast lists them.
func roles(c country.Cast) func(yield func(string, country.Role) bool) {
	return func(yield func(string, country.Role) bool) {
		v := reflect.ValueOf(c)
		for i := range v.NumField() {
			r, ok := v.Field(i).Interface().(country.Role)
			if ok && r.PIN != "" && !yield(v.Type().Field(i).Name, r) {
				return
			}
		}
	}
}

// Staff gives the accounts of the officials of one agency: those of the cast who work there.
func Staff(a *country.Atlas, agency country.AgencyCode) (find func(string) (Account, bool), shown []Account) {
	for role, r := range roles(a.Cast) {
		if r.Employer == agency {
			shown = append(shown, Account{Subject: string(r.PIN), Name: r.GivenName + " " + r.Surname, Role: role, Note: role})
		}
	}
	// The second official whom an emergency needs: on duty, and nobody in particular.
	shown = append(shown, Account{Subject: "DUTY-OFFICER-" + string(agency), Name: "Duty officer", Role: "DutyOfficer", Note: "DutyOfficer"})
	find = func(text string) (Account, bool) {
		for _, s := range shown {
			if s.Subject == strings.ToUpper(text) {
				return s, true
			}
		}
		return Account{}, false
	}
	return find, shown
}
