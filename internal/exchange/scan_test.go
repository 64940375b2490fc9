package exchange

import (
	"testing"

	"pgregory.net/rapid"

	"countersign.dev/countersign"
)

// The quick readers of our own spelling and the readers of any spelling agree on every text: what the quick one takes, the other takes as the same.
func TestQuickReadersAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o opening
		o.Asked = countersign.Millis(rapid.Int64Range(0, int64(countersign.MaxMillis)).Draw(t, "asked"))
		copy(o.Half[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "half"))
		o.MadeID = rapid.Bool().Draw(t, "made")
		text := []byte(o.header())
		if rapid.Bool().Draw(t, "spoil") {
			text[rapid.IntRange(0, len(text)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		var quick opening
		if !quick.scan(string(text)) {
			return
		}
		slow, err := parseAnyOpening([]string{string(text)})
		if err != nil || slow != quick {
			t.Fatalf("%q: quick %v, slow %v, %v", text, quick, slow, err)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		promise := rapid.SliceOfN(rapid.Byte(), 1, 80).Draw(t, "promise")
		signature := rapid.SliceOfN(rapid.Byte(), 1, 80).Draw(t, "signature")
		text := []byte(promiseHeader(promise, signature))
		if rapid.Bool().Draw(t, "spoil") {
			text[rapid.IntRange(0, len(text)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		p, s, ok := scanPromise(string(text))
		if !ok {
			return
		}
		p2, s2, err := parseAnyPromise([]string{string(text)})
		if err != nil || string(p) != string(p2) || string(s) != string(s2) {
			t.Fatalf("%q: quick %x %x, slow %x %x, %v", text, p, s, p2, s2, err)
		}
		// The consumer's gateway hands the header on as it came.
		if again := promiseHeader(p, s); again != string(text) {
			t.Fatalf("%q is read by the quick reader, but written as %q", text, again)
		}
	})
}

// What our own gateways write is read by the quick readers.
func TestQuickReadersTakeOurSpelling(t *testing.T) {
	o := newOpening(countersign.Millis(1_800_000_000_000).Time())
	var back opening
	if !back.scan(o.header()) || back != o {
		t.Fatalf("%q is not taken", o.header())
	}
	o.MadeID = true
	if !back.scan(o.header()) || back != o {
		t.Fatalf("%q is not taken", o.header())
	}
	if _, _, ok := scanPromise(":cHJv\nbWlzZQ==:, :c2ln:"); ok {
		t.Fatal("a promise with a line end in it is taken for our spelling")
	}
	if h, err := officialHeader(nobody); err != nil || h != nobodyHeader {
		t.Fatal(h, err)
	}
	if _, _, ok := scanPromise(promiseHeader([]byte("promise"), []byte("signature"))); !ok {
		t.Fatal("the promise is not taken")
	}
}
