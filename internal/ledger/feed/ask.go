package feed

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Held is what a witness said that it holds of a log.
type Held struct {
	// Note is the newest checkpoint that the witness has cosigned, with the log's own valid signature; nil where it showed none.
	Note []byte
	// Size is that checkpoint's size by the witness's own word, where it showed none.
	Size uint64
	// Answered says that the witness knows the log and told what it holds.
	Answered bool
}

// Ask asks a witness for the newest checkpoint that it has cosigned of a log: by monitor retrieval, and where it offers none, by submitting
// again what the log has signed last (own, of that size), which a witness either cosigns once more or answers with the size that it holds.
//
// SPEC: C2SP tlog-witness, monitor retrieval; and add-checkpoint: "If it doesn't match, the witness MUST respond with a 409 Conflict … The
// response body MUST consist of the tree size of the latest cosigned checkpoint".
func Ask(ctx context.Context, client *http.Client, url string, witness, verifier note.Verifier, own []byte, size uint64) (Held, error) {
	sum := sha256.Sum256([]byte(verifier.Name()))
	prefix := strings.TrimSuffix(url, "/add-checkpoint")
	status, text, err := send(ctx, client, http.MethodGet, prefix+"/"+hex.EncodeToString(sum[:])+"/checkpoint", nil)
	if err != nil {
		return Held{}, err
	}
	if status == http.StatusOK {
		if _, err := note.Open(text, note.VerifierList(verifier)); err == nil {
			return Held{Note: text, Answered: true}, nil
		}
	}
	if len(own) == 0 {
		return Held{}, nil
	}
	body := append([]byte(fmt.Sprintf("old %d\n\n", size)), own...)
	status, text, err = send(ctx, client, http.MethodPost, url, body)
	if err != nil {
		return Held{}, err
	}
	switch status {
	case http.StatusOK:
		if _, err := note.Open(append(slices.Clone(own), text...), note.VerifierList(witness)); err != nil {
			return Held{}, fmt.Errorf("the witness's cosignature is not valid: %w", err)
		}
		return Held{Size: size, Answered: true}, nil
	case http.StatusConflict:
		held, err := strconv.ParseUint(strings.TrimSuffix(string(text), "\n"), 10, 62)
		if err != nil {
			return Held{}, fmt.Errorf("the witness's conflict names no size: %w", err)
		}
		return Held{Size: held, Answered: true}, nil
	}
	return Held{}, nil
}

func send(ctx context.Context, client *http.Client, method, url string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("asking the witness what it holds: %w", err)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("asking the witness what it holds: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return 0, nil, fmt.Errorf("asking the witness what it holds: %w", err)
	}
	return res.StatusCode, text, nil
}
