// Package verify checks a receipt under a policy and tells the result as one JSON text, for callers in other languages.
package verify

import (
	"encoding/json"

	"countersign.dev/countersign"
)

// Result is what JSON tells.
type Result struct {
	Status  string               `json:"status"` // valid, invalid or unusable
	Message string               `json:"message,omitempty"`
	Code    countersign.Code     `json:"code,omitempty"`
	Finding *countersign.Finding `json:"finding,omitempty"` // of a valid receipt; Finding.Cosigned says whether witnesses stand behind it
}

// JSON checks a receipt, given as the text of its file, under the text of a policy file.
func JSON(policy, receipt string) string {
	p, err := countersign.ParsePolicy([]byte(policy))
	if err != nil {
		return text(Result{Status: "unusable", Message: countersign.MessageOf(err), Code: countersign.CodeOf(err)})
	}
	r, err := countersign.ParseReceipt([]byte(receipt))
	if err != nil {
		return text(Result{Status: "unusable", Message: countersign.MessageOf(err), Code: countersign.CodeOf(err)})
	}
	f, err := p.Verify(r)
	if err != nil {
		return text(Result{Status: "invalid", Message: countersign.MessageOf(err), Code: countersign.CodeOf(err)})
	}
	return text(Result{Status: "valid", Finding: f})
}

// Unusable tells that nothing could be checked.
func Unusable(why string) string { return text(Result{Status: "unusable", Message: why}) }

func text(r Result) string {
	out, err := json.Marshal(r)
	if err != nil {
		return `{"status":"unusable","message":"the result cannot be written"}`
	}
	return string(out)
}
