package monitor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/countersign/internal/ledger/tiles"
)

const (
	maxBundle     = tiles.Width * (2 + 1<<16)
	maxCheckpoint = 64 << 10
)

// errAbsent says that the address answers, and has nothing there.
var errAbsent = errors.New("it is not there")

// get reads a bounded answer.
func get(ctx context.Context, client *http.Client, url string, most int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("the address cannot be used: %w", err)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("it does not answer: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("its answer broke off: %w", err)
	case res.StatusCode == http.StatusNotFound:
		return nil, errAbsent
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("it answers with status %d", res.StatusCode)
	case int64(len(text)) > most:
		return nil, fmt.Errorf("its answer is longer than %d bytes", most)
	}
	return text, nil
}

// leaves reads encoded leaves [first, size) of a tree of that size.
func (l *logState) leaves(ctx context.Context, first, size uint64) ([][]byte, error) {
	var out [][]byte
	for at := first; at < size; at = first + uint64(len(out)) {
		number := at / tiles.Width
		width := min(size-number*tiles.Width, tiles.Width)
		path := tlog.Tile{H: tiles.Height, L: -1, N: int64(number), W: int(width)}.Path() //nolint:gosec // both are bounded
		body, err := get(ctx, l.cfg.Client, l.cfg.URL+"/tile/entries/"+strings.TrimPrefix(path, "tile/8/data/"), maxBundle)
		if err != nil {
			return nil, fmt.Errorf("leaves from %d on: %w", at, err)
		}
		bundle, err := parseBundle(body, int(width))
		if err != nil {
			return nil, fmt.Errorf("leaves from %d on: %w", number*tiles.Width, err)
		}
		out = append(out, bundle[at-number*tiles.Width:]...)
	}
	return out, nil
}

// parseBundle reads an entry bundle.
//
// SPEC: C2SP tlog-tiles: "Entry bundles are sequences of big-endian uint16 length-prefixed log entries."
func parseBundle(body []byte, width int) ([][]byte, error) {
	out := make([][]byte, 0, width)
	for range width {
		if len(body) < 2 || len(body) < 2+int(binary.BigEndian.Uint16(body)) {
			return nil, errors.New("the bundle ends early")
		}
		n := 2 + int(binary.BigEndian.Uint16(body))
		out = append(out, body[2:n:n])
		body = body[n:]
	}
	if len(body) > 0 {
		return nil, errors.New("the bundle is longer than its leaves")
	}
	return out, nil
}
