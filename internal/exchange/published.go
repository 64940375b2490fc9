package exchange

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/mandate"
)

// Published reads what offices of the directory publish beside their logs: courts' status lists, the overseer's reviews. It asks only the hosts at
// which the directory says that their logs are, keeps nothing, follows no redirect, and verifies nothing: the reader does.
type Published struct{ Client *http.Client }

// NewPublished makes a reader with time-outs of its own.
func NewPublished() *Published {
	return &Published{&http.Client{
		Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

const maxPublished = 2 << 20

// Statuses gives the status lists of the courts of a directory.
func (p *Published) Statuses(d *countersign.Directory) mandate.StatusSource { return statusLists{p, d} }

type statusLists struct {
	published *Published
	directory *countersign.Directory
}

// StatusList implements mandate.StatusSource.
func (s statusLists) StatusList(uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeMandateInvalid, err, "the address of the status list cannot be read")
	}
	for _, c := range s.directory.Courts {
		if log, err := url.Parse(c.Log.URL); err == nil && log.Scheme == u.Scheme && log.Host == u.Host && u.User == nil {
			return s.published.read(u.String())
		}
	}
	return "", countersign.Refuse(countersign.CodeMandateInvalid, "the status list is at no court's address of the directory")
}

// beside gives the address of a list that an office publishes beside its log.
func beside(log countersign.Log, path string) (string, error) {
	u, err := url.Parse(log.URL)
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeNetwork, err, "the address of an office's log cannot be read")
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: path}).String(), nil
}

func (p *Published) read(address string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeNetwork, err, "the list cannot be asked for")
	}
	res, err := p.Client.Do(req)
	if err != nil {
		return "", countersign.RefuseBecause(countersign.CodeNetwork, err, "the office that publishes the list does not answer")
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxPublished+1))
	switch {
	case err != nil:
		return "", countersign.RefuseBecause(countersign.CodeNetwork, err, "the list broke off")
	case res.StatusCode != http.StatusOK || len(text) > maxPublished:
		return "", countersign.Refuse(countersign.CodeNetwork, "the office does not give its list")
	}
	return string(text), nil
}
