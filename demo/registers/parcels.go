package registers

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

const (
	leastParcelBytes   = 2 // []
	defaultParcelBytes = 1 << 20
	mostParcelBytes    = 1 << 30
	parcelBuffer       = 64 << 10
)

var landUses = []string{"arable", "pasture", "orchard", "forest", "settlement", "road", "water"}

// streamParcels answers a JSON array of land parcels of exactly as many bytes as the query asks for. It is made while it
// is sent and never held: memory does not grow with the size.
func (g *register) streamParcels(w http.ResponseWriter, r *http.Request) {
	size, err := parcelBytes(r)
	if err != nil {
		g.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	if r.Method == http.MethodHead {
		return
	}
	buffered := bufio.NewWriterSize(w, parcelBuffer)
	if err := writeParcels(buffered, size); err != nil {
		return // the caller has gone
	}
	_ = buffered.Flush()
}

func parcelBytes(r *http.Request) (int, error) {
	values := r.URL.Query()["bytes"]
	if len(values) == 0 {
		return defaultParcelBytes, nil
	}
	n, err := strconv.Atoi(values[0])
	if err != nil || len(values) > 1 || n < leastParcelBytes || n > mostParcelBytes {
		return 0, badRequest("bad-size", fmt.Sprintf("The parameter bytes is not one whole number from %d to %d.", leastParcelBytes, mostParcelBytes))
	}
	return n, nil
}

// writeParcels writes an array of size bytes; spaces before its end make up the length.
func writeParcels(w io.Writer, size int) error {
	if _, err := io.WriteString(w, "["); err != nil {
		return err
	}
	left := size - len("[]")
	line := make([]byte, 0, 512)
	for i := 0; ; i++ {
		line = appendParcel(line[:0], i)
		if len(line) > left {
			break
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
		left -= len(line)
	}
	_, err := w.Write(append(bytes.Repeat([]byte(" "), left), ']'))
	return err
}

// appendParcel writes the parcel number i, with the comma before it that all but the first have. The figures are spread
// by multiplication, so that a parcel is the same in every answer.
func appendParcel(b []byte, i int) []byte {
	mix := uint64(i+1) * 0x9E3779B97F4A7C15
	if i > 0 {
		b = append(b, ",\n"...)
	}
	b = append(b, `{"parcel":"LND-`...)
	b = strconv.AppendInt(b, int64(10_000_000+i), 10)
	b = append(b, `","zone":`...)
	b = strconv.AppendUint(b, mix>>60, 10)
	b = append(b, `,"landUse":"`...)
	b = append(b, landUses[mix>>32%uint64(len(landUses))]...)
	b = append(b, `","areaSquareMetres":`...)
	b = strconv.AppendUint(b, 200+mix>>40%90_000, 10)
	b = append(b, `,"centre":{"east":`...)
	b = strconv.AppendUint(b, 400_000+mix>>20%300_000, 10)
	b = append(b, `,"north":`...)
	b = strconv.AppendUint(b, 4_200_000+mix>>8%400_000, 10)
	return append(b, `}}`...)
}
