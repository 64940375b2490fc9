package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/identity"
	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/internal/clock"
	oidc "countersign.dev/countersign/internal/identity"
)

// pathCaseCodes is where agencies' officials get case codes from the demo's identity provider.
const pathCaseCodes = "/case/codes"

// caseCodeRequest asks for a code. The official's identity token comes in the header Authorization.
type caseCodeRequest struct {
	Agency string        `json:"agency"` // its code
	Case   string        `json:"case"`   // its number, which begins with the agency's code
	Life   time.Duration `json:"life"`   // in nanoseconds; the provider's default where zero
}

type caseCodeAnswer struct {
	Code string `json:"code"`
}

// caseCodeDesk gives officials codes for cases of their own agency.
func (d *demoFile) caseCodeDesk(codes *identity.CaseCodes, now clock.Clock) http.Handler {
	verifier := oidc.NewVerifier(func() ([]countersign.Issuer, error) { return d.issuers(), nil }, nil, now)
	scheme := law.Document(now.Now()).Schemes
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in caseCodeRequest
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&in); err != nil {
			http.Error(w, "agency and case are due", http.StatusBadRequest)
			return
		}
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if _, err := verifier.OfficialClaims(r.Context(), law.Member(in.Agency), token); err != nil {
			http.Error(w, countersign.MessageOf(err), http.StatusUnauthorized)
			return
		}
		var of countersign.SubjectID
		for i := range scheme {
			if scheme[i].Name == countersign.SchemeCase {
				of, _ = scheme[i].Normalise(in.Case)
			}
		}
		if !strings.HasPrefix(of.Value, in.Agency+"-") {
			http.Error(w, "the number is none of a case of this agency: it begins with the agency's code", http.StatusForbidden)
			return
		}
		code, err := codes.Issue(of.Value, in.Life)
		if err != nil {
			http.Error(w, "the code could not be kept", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(caseCodeAnswer{code})
	})
}

type demoCaseCodeCmd struct {
	Dir    string        `required:"" help:"Folder of the demo." type:"existingdir"`
	Agency string        `required:"" help:"Whose case it is." placeholder:"CODE"`
	As     string        `required:"" help:"The official of the agency who gets the code." placeholder:"CODE"`
	Case   string        `required:"" help:"Number of the case." placeholder:"NUMBER"`
	Life   time.Duration `help:"How long the code is good for; 90 days if not given."`
}

// Run gets a case code from the demo's identity provider, as the agency's system would, and prints it for the letter.
func (c *demoCaseCodeCmd) Run(ctx context.Context, s streams) error {
	d, err := loadDemo(c.Dir)
	if err != nil {
		return err
	}
	if d.Identity == nil {
		return countersign.Refuse(countersign.CodeBadRequest, "the demo in %s has no identity provider", c.Dir)
	}
	token, err := d.login(ctx, c.Agency, c.As, "")
	if err != nil {
		return err
	}
	body, err := json.Marshal(caseCodeRequest{c.Agency, c.Case, c.Life})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.Identity.URL+pathCaseCodes, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 4096))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return countersign.Refuse(countersign.CodeAccessDenied, "no code is given: %s", strings.TrimSpace(string(text)))
	}
	var out caseCodeAnswer
	if err := json.Unmarshal(text, &out); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, out.Code)
	return err
}
