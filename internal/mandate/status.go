package mandate

import (
	"bytes"
	"compress/zlib"
	"crypto"
	"encoding/base64"
	"io"
	"time"

	"countersign.dev/countersign"
)

// StatusFreshness is how old a status list may be: a withdrawal acts within it, whatever anybody has cached (A22).
const StatusFreshness = 5 * time.Minute

const maxStatusBytes = 1 << 20 // of a list once inflated: eight million mandates

// StatusRef is a mandate's place in a status list.
//
// SPEC: Token Status List (draft-ietf-oauth-status-list) §6.2: the claim status with its member status_list.
type StatusRef struct {
	List struct {
		Index uint64 `json:"idx"`
		URI   string `json:"uri"`
	} `json:"status_list"`
}

// NewStatusRef makes a reference.
func NewStatusRef(uri string, index uint64) (r StatusRef) {
	r.List.URI, r.List.Index = uri, index
	return r
}

// StatusSource gives the newest status list that it can get. It need not verify it: the reader does.
type StatusSource interface {
	// StatusList returns the compact JWS published at uri. An error means that there is none, and the mandate is refused.
	StatusList(uri string) (string, error)
}

// statusClaims is a status list token.
//
// SPEC: Token Status List §5.1: sub is the list's URI; iat is required; status_list holds bits and the zlib-compressed, base64url-encoded list.
type statusClaims struct {
	URI    string  `json:"sub"`
	Issued Seconds `json:"iat"`
	Until  Seconds `json:"exp,omitzero"`
	TTL    int64   `json:"ttl,omitzero"`
	List   struct {
		Bits int    `json:"bits"`
		List string `json:"lst"`
	} `json:"status_list"`
}

// SignStatusList makes a status list token of one bit for each mandate; a set bit is a withdrawal.
func SignStatusList(key crypto.Signer, uri string, withdrawn []bool, at time.Time) (string, error) {
	raw := make([]byte, (len(withdrawn)+7)/8)
	for i, w := range withdrawn {
		if w {
			raw[i/8] |= 1 << (i % 8)
		}
	}
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	if _, err := w.Write(raw); err != nil {
		return "", countersign.RefuseBecause(countersign.CodeInternal, err, "the status list cannot be compressed")
	}
	if err := w.Close(); err != nil {
		return "", countersign.RefuseBecause(countersign.CodeInternal, err, "the status list cannot be compressed")
	}
	c := statusClaims{URI: uri, Issued: SecondsOf(at), Until: SecondsOf(at.Add(StatusFreshness)), TTL: int64(StatusFreshness / time.Second)}
	c.List.Bits, c.List.List = 1, base64.RawURLEncoding.EncodeToString(z.Bytes())
	return signToken(key, typeStatusList, &c)
}

// checkStatus refuses a mandate that is withdrawn, and one of which nobody can say freshly that it is not.
func checkStatus(ref StatusRef, source StatusSource, keys []crypto.PublicKey, at time.Time) error {
	bad := func(cause error, why string) error {
		return countersign.RefuseBecause(countersign.CodeMandateInvalid, cause, "%s", why)
	}
	if ref.List.URI == "" {
		return bad(nil, "the mandate names no status list: nobody could withdraw it")
	}
	if source == nil {
		return bad(nil, "the mandate's status cannot be looked up here")
	}
	token, err := source.StatusList(ref.List.URI)
	if err != nil {
		return bad(err, "the mandate's status list cannot be had: without a fresh one it counts as withdrawn")
	}
	var c statusClaims
	if _, err := openToken(token, 2*maxStatusBytes, typeStatusList, keys, &c); err != nil {
		return bad(err, "the mandate's status list is not signed by its issuer")
	}
	switch issued := c.Issued.Time(); {
	case c.URI != ref.List.URI:
		return bad(nil, "the status list is another one than the mandate names")
	case issued.After(at.Add(Skew)) || at.Sub(issued) > StatusFreshness || c.Until != 0 && !at.Before(c.Until.Time().Add(Skew)):
		return bad(nil, "the mandate's status list is not fresh: without a fresh one it counts as withdrawn") // A22
	case c.List.Bits != 1:
		return bad(nil, "the mandate's status list is not of one bit for each mandate")
	}
	raw, err := inflate(c.List.List)
	if err != nil {
		return bad(err, "the mandate's status list cannot be read")
	}
	if ref.List.Index/8 >= uint64(len(raw)) {
		return bad(nil, "the mandate has no place in its status list")
	}
	if raw[ref.List.Index/8]&(1<<(ref.List.Index%8)) != 0 {
		return bad(nil, "the mandate was withdrawn")
	}
	return nil
}

func inflate(text string) ([]byte, error) {
	z, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, err
	}
	r, err := zlib.NewReader(bytes.NewReader(z))
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	raw, err := io.ReadAll(io.LimitReader(r, maxStatusBytes+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxStatusBytes {
		return nil, countersign.Refuse(countersign.CodeTooLarge, "the status list is larger than 1 MiB")
	}
	return raw, nil
}
