package main

import (
	"encoding/json"
	"fmt"
	"os"

	"countersign.dev/countersign"
)

type verifyCmd struct {
	Policy       string `required:"" help:"C2SP tlog-policy file: the logs and witnesses that count." placeholder:"FILE" type:"existingfile"`
	RequireProof bool   `help:"A promise without the witnesses' cosignatures is not enough."`
	JSON         bool   `help:"Print what was established as one JSON object."`
	Receipt      string `arg:"" help:"Receipt file, as ask --receipt writes it." type:"existingfile"`
}

// Run checks a receipt offline: no network, no directory, only the pinned policy.
func (v *verifyCmd) Run(io streams) error {
	policyText, err := os.ReadFile(v.Policy)
	if err != nil {
		return unusable(io, err)
	}
	policy, err := countersign.ParsePolicy(policyText)
	if err != nil {
		return unusable(io, err)
	}
	text, err := os.ReadFile(v.Receipt)
	if err != nil {
		return unusable(io, err)
	}
	receipt, err := countersign.ParseReceipt(text)
	if err != nil {
		return unusable(io, err)
	}
	found, err := policy.Verify(receipt)
	if err == nil && v.RequireProof && !found.Cosigned {
		err = countersign.Refuse(countersign.CodeSignature, "the receipt is a promise only: no quorum of witnesses has cosigned it yet")
	}
	if err != nil {
		fmt.Fprintf(io.err, "INVALID: %s\n", countersign.MessageOf(err))
		return exit(exitFailed)
	}
	if v.JSON {
		return json.NewEncoder(io.out).Encode(found)
	}
	tell(io, found)
	return nil
}

func unusable(io streams, err error) error {
	fmt.Fprintf(io.err, "countersign verify: %v\n", err)
	return exit(exitUnusual)
}

func tell(io streams, f *countersign.Finding) {
	w := io.out
	fmt.Fprintf(w, "VALID: the log %s promised this record at index %d on %s.\n", f.Promise.Origin, f.Promise.Index, f.Promise.Time.Time().Format("2006-01-02 15:04:05 MST"))
	if f.Cosigned {
		fmt.Fprintf(w, "It is in the log of %d leaves that a quorum of the policy's witnesses has cosigned.\n", f.TreeSize)
	} else {
		fmt.Fprintf(w, "Witnesses have not cosigned it in this file: fetch the receipt again; after %s the promise counts as broken.\n", countersign.CosigningDeadline)
	}
	s := f.Statement
	if s == nil {
		fmt.Fprintln(w, "The file does not say what was recorded.")
		return
	}
	fmt.Fprintf(w, "  asked by    %s\n  of          %s\n  purpose     %s (%s)\n  outcome     %s\n", s.Consumer, s.Service, s.Purpose, s.Basis, s.Outcome)
	if f.Leaf.Side == countersign.SideConsumer { // the asker's own record: of a question that was refused there, or of an answer that it did not accept
		fmt.Fprintf(w, "  the asker   %s\n", f.Leaf.Outcome)
	}
	if len(s.Fields) > 0 {
		fmt.Fprintf(w, "  fields      %s\n", listed(s.Fields))
	}
	if len(s.Reasons) > 0 {
		fmt.Fprintf(w, "  reasons     %s\n", listed(s.Reasons))
	}
}
