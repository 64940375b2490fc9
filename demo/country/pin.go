package country

import (
	"errors"
	"fmt"
	"strings"
)

// The identifier scheme of the country's people. A directory that lists the scheme needs these three rules: the code,
// the normalisation and the pattern that a normalised value matches.
const (
	// PINScheme is the scheme's code: a person is written `pin:VALUE`.
	PINScheme = "pin"
	// PINPattern is the regular expression (RE2) that a normalised value matches. The check character is beyond what a
	// pattern can say; [ParsePIN] checks it.
	PINPattern = `^[0-9A-Z]{7}$`
	// PINNormalisation names the rule that [NormalisePIN] carries out.
	PINNormalisation = "upper-case ASCII letters; remove spaces and hyphens"
	// PINLength is the number of characters of a personal code, the check character included.
	PINLength = 7
)

// ErrPIN marks a text that cannot be a personal code: wrong length, foreign character or wrong check character. The
// caller asks for the code to be typed again; the error never quotes it.
var ErrPIN = errors.New("country: pin: not a personal code")

// PIN is a normalised personal code: six characters from 0-9 and A-Z and a check character.
type PIN string

// Identifier writes the code with its scheme, `pin:VALUE`.
func (p PIN) Identifier() string { return PINScheme + ":" + string(p) }

// NormalisePIN applies the scheme's rule: ASCII letters in upper case, spaces and hyphens removed. It leaves every other
// character alone, letters whose upper case falls into ASCII too (ı, ſ), so that two spellings never meet by accident.
func NormalisePIN(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '-':
			return -1
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		}
		return r
	}, s)
}

// ParsePIN normalises s and checks its length, characters and check character. It accepts the bare value, not `pin:VALUE`.
func ParsePIN(s string) (PIN, error) {
	n := NormalisePIN(s)
	if len(n) != PINLength {
		return "", fmt.Errorf("%w: it has %d characters, write %d of 0-9 and A-Z", ErrPIN, len(n), PINLength)
	}
	for i := range len(n) {
		if pinDigit(n[i]) < 0 {
			return "", fmt.Errorf("%w: character %d is not one of 0-9 and A-Z", ErrPIN, i+1)
		}
	}
	if n[PINLength-1] != pinCheck(n[:PINLength-1]) {
		return "", fmt.Errorf("%w: the check character does not fit, look for a typing error", ErrPIN)
	}
	return PIN(n), nil
}

const pinAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

func pinDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'Z':
		return int(c-'A') + 10
	}
	return -1
}

// pinCheck computes the check character of six characters of the alphabet. It finds every single wrong character and
// nearly every pair of swapped neighbours.
//
// SPEC: ISO/IEC 7064:2003, clause 9 (hybrid systems), MOD 37,36.
func pinCheck(body string) byte {
	p := 36
	for i := range len(body) {
		s := (p + pinDigit(body[i])) % 36
		if s == 0 {
			s = 36
		}
		p = s * 2 % 37
	}
	return pinAlphabet[(37-p)%36]
}

// pinFromNumber writes n, below 36^6, as a personal code.
func pinFromNumber(n uint64) PIN {
	var body [PINLength - 1]byte
	for i := len(body) - 1; i >= 0; i-- {
		body[i] = pinAlphabet[n%36]
		n /= 36
	}
	return PIN(string(body[:]) + string(pinCheck(string(body[:]))))
}
