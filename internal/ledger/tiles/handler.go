package tiles

import (
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// View is what one audience sees of a log. Errors that wrap fs.ErrNotExist are absences; all others are failures.
type View interface {
	// Checkpoint is the signed checkpoint that the view shows, and its size. Nothing beyond that size is ever served.
	Checkpoint(ctx context.Context) (note []byte, size uint64, err error)
	// Hashes returns the first width hashes of a tile, all within the view's size.
	Hashes(ctx context.Context, id ID, width int) ([]byte, error)
	// Leaves returns encoded leaves [first, first+count), all within the view's size.
	Leaves(ctx context.Context, first uint64, count int) ([][]byte, error)
}

// Handler serves a view under the paths of C2SP tlog-tiles: /checkpoint, /tile/<L>/<N>[.p/<W>] and /tile/entries/<N>[.p/<W>].
func Handler(v View) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /checkpoint", func(w http.ResponseWriter, r *http.Request) {
		text, _, err := v.Checkpoint(r.Context())
		if err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write(text)
	})
	mux.HandleFunc("GET /tile/{path...}", func(w http.ResponseWriter, r *http.Request) {
		p, ok := parsePath(r.PathValue("path"))
		if !ok {
			http.Error(w, "not a tile's path (C2SP tlog-tiles)", http.StatusBadRequest)
			return
		}
		_, size, err := v.Checkpoint(r.Context())
		if err != nil {
			refuse(w, err)
			return
		}
		if !p.within(size) {
			http.Error(w, "no such tile in a tree of this size", http.StatusNotFound)
			return
		}
		serve(w, r, v, p)
	})
	return mux
}

func refuse(w http.ResponseWriter, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		http.Error(w, "there is none yet", http.StatusNotFound)
		return
	}
	http.Error(w, "the log cannot be read at present", http.StatusServiceUnavailable)
}

func serve(w http.ResponseWriter, r *http.Request, v View, p tilePath) {
	var body []byte
	if !p.entries {
		hashes, err := v.Hashes(r.Context(), p.ID, p.width)
		if err != nil {
			refuse(w, err)
			return
		}
		body = hashes
	} else {
		leaves, err := v.Leaves(r.Context(), p.Number*Width, p.width)
		if err != nil {
			refuse(w, err)
			return
		}
		// SPEC: C2SP tlog-tiles: "Entry bundles are sequences of big-endian uint16 length-prefixed log entries."
		for _, leaf := range leaves {
			body = binary.BigEndian.AppendUint16(body, uint16(len(leaf))) //nolint:gosec // longer leaves are never appended
			body = append(body, leaf...)
		}
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	if !p.entries || !acceptsGzip(r) {
		h.Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
		return
	}
	h.Set("Content-Encoding", "gzip")
	h.Add("Vary", "Accept-Encoding")
	z := gzip.NewWriter(w)
	if _, err := z.Write(body); err == nil {
		_ = z.Close() // the peer went away: nobody is left to tell
	}
}

func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if coding == "gzip" && strings.ReplaceAll(q, " ", "") != "q=0" {
			return true
		}
	}
	return false
}

// tilePath is a parsed path below /tile/.
type tilePath struct {
	ID
	entries bool
	width   int
}

// parsePath reads exactly the spellings that the specification gives; the library's own parser is the judge of them.
//
// SPEC: C2SP tlog-tiles: "<L> … MUST be a decimal ASCII integer between 0 and 63, with no additional leading zeroes. <N> … MUST be a
// non-negative integer encoded into zero-padded 3-digit path elements. All but the last path element MUST begin with an x. … <W> is … a
// decimal ASCII integer between 1 and 255, with no additional leading zeroes."
func parsePath(path string) (p tilePath, ok bool) {
	rest, entries := strings.CutPrefix(path, "entries/")
	level := "0"
	if !entries {
		if level, rest, ok = strings.Cut(path, "/"); !ok {
			return p, false
		}
	}
	tile, err := tlog.ParseTilePath("tile/8/" + level + "/" + rest)
	if err != nil || tile.L < 0 || tile.N < 0 || tile.W < 1 || tile.W > Width || tile.L > 63 {
		return p, false
	}
	return tilePath{ID{tile.L, uint64(tile.N)}, entries, tile.W}, true
}

// within reports whether a tree of that size has the tile.
//
// SPEC: C2SP tlog-tiles: "The partial tile at level l for a tree of size s has floor(s / 256**l) mod 256 entries. Empty tiles MUST NOT be
// served." Narrower ones belong to smaller trees, whose checkpoints may have been shown.
func (p tilePath) within(size uint64) bool {
	if p.Level*Height >= 64 {
		return false
	}
	hashes := size >> (p.Level * Height)
	return p.Number < (1<<55) && p.Number*Width+uint64(p.width) <= hashes //nolint:gosec // width is 1 to 256
}
