package federation

import (
	"encoding/json"
	"fmt"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
)

// markField is the member of the signed root that holds the Mark; TUF lets repositories add members of their own.
const markField = "countersign"

// Mark is what the signed root says of its federation beside keys: a gateway knows from it, before any document, whose root it trusts.
type Mark struct {
	Instance string `json:"instance"`
	// Demo says that the federation was made on simulated time, as stories are. Its document is labelled a demonstration too; the label alone, which
	// a demonstration on real time bears, is for people.
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

// Admit refuses a root whose federation keeps another kind of time than this program. On simulated time every date that a signature bears is whatever
// somebody wants it to be, so that an ordinary program has nothing to do with it; and a program on simulated time must not reach a federation that
// people rely on. The refusal is CodeBadRequest: another root or another program is needed, and no configuration helps.
func (m Mark) Admit() error {
	switch {
	case m.Demo && !clock.Simulated:
		return countersign.Refuse(countersign.CodeBadRequest,
			"the root of %s is marked demo: its federation was made on a simulated clock, and this program keeps real time only; no setting changes that: use the root of a real federation", m.Instance)
	case clock.Simulated && !m.Demo:
		return countersign.Refuse(countersign.CodeBadRequest,
			"the root of %s is of a federation on real time, and this program keeps a simulated clock: use the ordinary program", m.Instance)
	}
	return nil
}

// admitRoot reads a root's mark and admits it.
func admitRoot(root *metadata.RootType) (Mark, error) {
	m, err := MarkOf(root)
	if err != nil {
		return Mark{}, err
	}
	return m, m.Admit()
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
