package federation

import (
	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"

	"countersign.dev/countersign"
)

// endOf reads the checkpoint with which a log ended.
//
// SPEC: docs/spec/ledger.md, Successors: "the newest checkpoint of the ended log that witnesses hold, with the log's own signature".
func endOf(l *countersign.EndedLog) (*log.Checkpoint, error) {
	v, err := note.NewVerifier(l.VKey)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the ended log's key %q cannot be read", l.VKey)
	}
	cp, _, _, err := log.ParseCheckpoint([]byte(l.Checkpoint), v.Name(), v)
	if err != nil || len(cp.Hash) != 32 {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "is not a checkpoint that the ended log %q has signed: copy it whole, as gateway successor prints it", v.Name())
	}
	return cp, nil
}
