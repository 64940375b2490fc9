package federation

import (
	"encoding/json"
	"fmt"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"countersign.dev/countersign"
)

// markField is the member of the signed root that holds the Mark; TUF lets repositories add members of their own.
const markField = "countersign"

// Mark is what the signed root says of its federation beside keys: a gateway knows from it, before any document, whose root it trusts.
type Mark struct {
	Instance string `json:"instance"`
	// Demo marks a demonstration, which alone may run on a simulated clock. The ordinary binary refuses such a root when it is used with one.
	Demo bool `json:"demo,omitempty"`
	// Bodies gives the governing body of each key of the threshold, by TUF key id.
	Bodies map[string]countersign.BodyName `json:"bodies"`
}

// MarkOf reads a root's mark; a root without one is not of a federation.
func MarkOf(root *metadata.RootType) (Mark, error) {
	var m Mark
	raw, err := json.Marshal(root.UnrecognizedFields[markField])
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	if err != nil || m.Instance == "" {
		return Mark{}, countersign.RefuseBecause(countersign.CodeSignature, err, "the root metadata does not name a federation: it is another system's")
	}
	return m, nil
}

// SetMark writes a root's mark, before it is signed.
func SetMark(root *metadata.RootType, m Mark) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("marking the root: %w", err)
	}
	var plain map[string]any
	if err := json.Unmarshal(raw, &plain); err != nil {
		return fmt.Errorf("marking the root: %w", err)
	}
	if root.UnrecognizedFields == nil {
		root.UnrecognizedFields = map[string]any{}
	}
	root.UnrecognizedFields[markField] = plain
	return nil
}
