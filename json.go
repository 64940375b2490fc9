package countersign

import (
	"bytes"
	"encoding/json"
	"io"
)

// decodeJSON reads one JSON value whole, without unknown members and with nothing after it.
func decodeJSON(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return Refuse(CodeBadRequest, "something follows the JSON value")
	}
	return nil
}
