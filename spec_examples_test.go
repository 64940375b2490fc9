package countersign

import (
	"strings"
	"testing"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"
)

// C2SP publishes no vectors for its log formats, but examples in its texts. Where these elide keys and signatures, the examples' own are filled in.

// examplePolicy is the example of C2SP tlog-policy (https://c2sp.org/tlog-policy): two of three witnesses of one organisation, and any one of three of
// another.
func examplePolicy(t testing.TB) string {
	t.Helper()
	text := `log <vkey>

witness X1 <vkey>
witness X2 <vkey>
witness X3 <vkey>
group X-witnesses 2 X1 X2 X3

witness Y1 <vkey>
witness Y2 <vkey>
witness Y3 <vkey>
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
`
	text = strings.Replace(text, "<vkey>", vkey("example.com/log", 1, testKey("example.com/log")), 1)
	for _, name := range []string{"X1", "X2", "X3", "Y1", "Y2", "Y3"} {
		text = strings.Replace(text, "<vkey>", vkey(name, 4, testKey(name))+" https://"+strings.ToLower(name)+".example", 1)
	}
	return text
}

func TestTheExamplePolicy(t *testing.T) {
	if _, err := ParsePolicy([]byte(examplePolicy(t))); err != nil {
		t.Fatal(err)
	}
}

// The example of C2SP tlog-checkpoint (https://c2sp.org/tlog-checkpoint) has the form that the specification says, and is nobody's who has another key.
func TestTheExampleCheckpoint(t *testing.T) {
	const text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n" +
		"— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
	var cp log.Checkpoint
	if _, err := cp.Unmarshal([]byte(text)); err != nil || cp.Origin != "example.com/behind-the-sofa" || cp.Size != 20852163 || len(cp.Hash) != 32 {
		t.Fatalf("%+v, %v", cp, err)
	}
	if _, err := ParsePolicy([]byte(strings.ReplaceAll(examplePolicy(t), "example.com/log", "example.com/behind-the-sofa"))); err == nil {
		t.Fatal("a vkey under another name than its hash is taken")
	}
	p, err := ParsePolicy([]byte(examplePolicy(t)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.VerifyProof("c2sp.org/tlog-proof@v1\nindex 0\n\n"+text, "example.com/log", 0, Digest{}); CodeOf(err) != CodeSignature {
		t.Fatalf("%v", err)
	}
}

// The example of C2SP tlog-proof (https://c2sp.org/tlog-proof), without the signatures that it elides and the line of extra data, which is cut off in
// the text.
func TestTheExampleProof(t *testing.T) {
	const text = `c2sp.org/tlog-proof@v1
index 73894
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=
RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=
AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=

example.com/fancylog
109482
sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=

— example.com/fancylog AAAAAA==
`
	var p proof.TLogProof
	if err := p.Unmarshal([]byte(text)); err != nil || p.Index != 73894 || len(p.Hashes) != 5 {
		t.Fatalf("%+v, %v", p, err)
	}
	if got := string(p.Marshal()); got != text {
		t.Errorf("it is written as %q", got)
	}
}

// Whatever a policy says, nothing that no log and no witness has signed satisfies it.
func FuzzParsePolicy(f *testing.F) {
	for _, c := range policies() {
		f.Add(c.text)
	}
	f.Add(examplePolicy(f))
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePolicy([]byte(text))
		if err != nil {
			if CodeOf(err) != CodeBadRequest {
				t.Errorf("%v", err)
			}
			return
		}
		for origin := range p.logs {
			cp := origin + "\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
			if p.witness.Satisfied([]byte(cp + "\n— " + origin + " AAAAAA==\n")) {
				t.Errorf("a checkpoint that nobody signed satisfies %q", text)
			}
			if _, err := p.VerifyProof("c2sp.org/tlog-proof@v1\nindex 0\n\n"+cp+"\n— "+origin+" AAAAAA==\n", LogOrigin(origin), 0, Digest{}); err == nil {
				t.Errorf("a proof that nobody signed holds under %q", text)
			}
		}
	})
}
