package witness

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/keys"
)

// exampleSubmission is the example request body of C2SP tlog-witness (https://c2sp.org/tlog-witness).
const exampleSubmission = `old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
`

// The specification's example is understood as it says. Its signatures verify under keys that it does not print, so that the witness, which knows
// another key of that origin, must refuse it as the clause about unknown keys says.
func TestTheSpecificationsExample(t *testing.T) {
	s, err := parseSubmission([]byte(exampleSubmission))
	if err != nil || s.old != 20852014 || len(s.proof) != 4 || s.proof[0].String() != "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=" {
		t.Fatalf("%+v, %v", s, err)
	}
	if !bytes.HasPrefix(s.note, []byte("example.com/behind-the-sofa\n20852163\n")) {
		t.Fatalf("%q", s.note)
	}
	for name, broken := range map[string]string{
		"an old size with a zero before it": strings.Replace(exampleSubmission, "old 2", "old 02", 1),
		"two spaces":                        strings.Replace(exampleSubmission, "old ", "old  ", 1),
		"no empty line":                     strings.Replace(exampleSubmission, "=\n\nexample", "=\nexample", 1),
		"a proof line too short":            strings.Replace(exampleSubmission, "PlRN", "Pl", 1),
		"64 proof lines":                    strings.Replace(exampleSubmission, "jrJZ", strings.Repeat("PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n", 60)+"jrJZ", 1),
	} {
		if s, err := parseSubmission([]byte(broken)); err == nil {
			if _, _, err := openCheckpoint(s.note, KnownLog{Origin: "example.com/behind-the-sofa", VKeys: nil}); err == nil {
				t.Errorf("%s is understood", name)
			}
		}
	}
}

// A submission that is understood is written in one way alone.
func FuzzParseSubmission(f *testing.F) {
	f.Add([]byte(exampleSubmission))
	f.Add([]byte("old 0\n\nx\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := parseSubmission(body)
		if err != nil {
			return
		}
		var out bytes.Buffer
		out.WriteString("old " + format(s.old) + "\n")
		for _, h := range s.proof {
			out.WriteString(h.String() + "\n")
		}
		out.WriteByte('\n')
		out.Write(s.note)
		if !bytes.Equal(out.Bytes(), body) {
			t.Errorf("%q is understood as %q", body, out.Bytes())
		}
	})
}

func format(n uint64) string {
	if n == 0 {
		return "0"
	}
	var digits []byte
	for ; n > 0; n /= 10 {
		digits = append([]byte{byte('0' + n%10)}, digits...)
	}
	return string(digits)
}

// Nothing that somebody puts into a witness's folder is taken for what the witness has cosigned.
func FuzzState(f *testing.F) {
	key, err := keys.Generate(countersign.AlgorithmEd25519)
	if err != nil {
		f.Fatal(err)
	}
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		f.Fatal("not Ed25519")
	}
	vkey, err := VerifierKey("witness.example/w1", pub)
	if err != nil {
		f.Fatal(err)
	}
	v, err := Verifier(vkey)
	if err != nil {
		f.Fatal(err)
	}
	_, example, _ := strings.Cut(exampleSubmission, "\n\n")
	f.Add(strings.Repeat("0", 64)+".checkpoint", []byte(example))
	f.Add(".x.checkpoint.cut", []byte("half"))
	f.Add("x.evidence", []byte(""))
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		dir := t.TempDir()
		if name == "" || strings.ContainsAny(name, "/\x00") || name == "." || name == ".." || len(name) > 200 {
			return
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return // a name that this file system has not
		}
		r, err := CheckState(dir, v, false)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Heads) > 0 {
			t.Errorf("%q is believed to be cosigned by a key that never signed", text)
		}
		if name != ".lock" && len(r.Problems)+len(r.Evidence) == 0 {
			t.Errorf("the file %q is passed over in silence", name)
		}
	})
}
