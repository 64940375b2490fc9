package registers

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"countersign.dev/countersign/demo/country"
)

func TestParcelsHaveTheirSize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(leastParcelBytes, 5000).Draw(t, "size")
		var b bytes.Buffer
		if err := writeParcels(&b, size); err != nil {
			t.Fatal(err)
		}
		var parcels []struct{ Parcel string }
		if err := json.Unmarshal(b.Bytes(), &parcels); err != nil || b.Len() != size {
			t.Fatalf("%d bytes, want %d: %v", b.Len(), size, err)
		}
		for i, p := range parcels {
			if want := "LND-" + strconv.Itoa(10_000_000+i); p.Parcel != want {
				t.Fatalf("parcel %d is %s", i, p.Parcel)
			}
		}
	})
}

// TestStreamKeepsMemoryLow reads a document far larger than what the process may hold meanwhile.
func TestStreamKeepsMemoryLow(t *testing.T) {
	const size, most = 96 << 20, 24 << 20
	dir, _ := buildFolder(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, serve(t, country.MUN, dir)+"/opendata/parcels?bytes="+strconv.Itoa(size), nil)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var total, peak int64
	for chunk := make([]byte, 8<<20); ; {
		n, err := io.ReadFull(res.Body, chunk)
		total += int64(n)
		runtime.ReadMemStats(&now)
		peak = max(peak, int64(now.HeapAlloc)-int64(before.HeapAlloc))
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if total != size {
		t.Errorf("%d bytes, want %d", total, size)
	}
	if peak > most {
		t.Errorf("the heap grew by %d bytes, %d at most", peak, most)
	}
}
