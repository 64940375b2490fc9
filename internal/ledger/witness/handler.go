package witness

import (
	"encoding/json"
	"errors"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign.dev/countersign"
)

// Metrics are a witness's counters. It is a prometheus.Collector, which the caller registers.
type Metrics struct {
	cosigned *prometheus.CounterVec
	refused  *prometheus.CounterVec
	size     *prometheus.GaugeVec
}

func newMetrics() *Metrics {
	return &Metrics{
		cosigned: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "countersign", Subsystem: "witness", Name: "cosigned_total", Help: "Checkpoints cosigned since the start."}, []string{"origin"}),
		refused:  prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "countersign", Subsystem: "witness", Name: "refused_total", Help: "Submissions not cosigned since the start."}, []string{"why"}),
		size:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "countersign", Subsystem: "witness", Name: "size", Help: "Leaves under the newest checkpoint cosigned."}, []string{"origin"}),
	}
}

// Metrics are the witness's counters, for registering.
func (w *Witness) Metrics() *Metrics { return w.metrics }

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	m.cosigned.Describe(ch)
	m.refused.Describe(ch)
	m.size.Describe(ch)
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.cosigned.Collect(ch)
	m.refused.Collect(ch)
	m.size.Collect(ch)
}

// Handler serves the witness's submission and monitoring prefixes, both at the root: POST /add-checkpoint, GET /<origin hash>/checkpoint.
// Status is served apart, for it lists logs.
func (w *Witness) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", func(rw http.ResponseWriter, r *http.Request) {
		body, err := readBody(r.Body)
		var line []byte
		if err == nil {
			line, err = w.AddCheckpoint(r.Context(), body)
		}
		if err != nil {
			w.answer(rw, err)
			return
		}
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = rw.Write(line)
	})
	mux.HandleFunc("GET /{hash}/checkpoint", func(rw http.ResponseWriter, r *http.Request) {
		text, err := w.byHash(r.PathValue("hash"))
		if err != nil {
			// SPEC: "If the witness has never cosigned a checkpoint for that log, it MUST respond with a 404 Not Found HTTP status code
			// instead."
			if errors.Is(err, fs.ErrNotExist) {
				err = refuse(http.StatusNotFound, "unknown_log", "nothing was cosigned for this log")
			}
			w.answer(rw, err)
			return
		}
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		rw.Header().Set("Cache-Control", "no-cache")
		rw.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = rw.Write(text) //nolint:gosec // a note that the witness has signed, served as plain text
	})
	return mux
}

// byHash finds the newest checkpoint under an origin's hash, also of a log that has not submitted since the start.
func (w *Witness) byHash(hash string) ([]byte, error) {
	if len(hash) != 64 || strings.Trim(hash, "0123456789abcdef") != "" {
		return nil, fs.ErrNotExist
	}
	text, err := readState(w.cfg.Dir + "/" + hash + ".checkpoint")
	if err != nil {
		return nil, err
	}
	origin, _, _ := strings.Cut(string(text), "\n")
	latest, _, _, err := w.Latest(countersign.LogOrigin(origin))
	return latest, err
}

func (w *Witness) answer(rw http.ResponseWriter, err error) {
	var r *refused
	if !errors.As(err, &r) {
		w.cfg.Logger.Error("a submission failed", slog.Any("error", err))
		w.metrics.refused.WithLabelValues("failure").Inc()
		http.Error(rw, "the witness failed: ask again later", http.StatusServiceUnavailable)
		return
	}
	w.metrics.refused.WithLabelValues(r.why).Inc()
	kind := r.kind
	if kind == "" {
		kind = "text/plain; charset=utf-8"
	}
	rw.Header().Set("Content-Type", kind)
	rw.WriteHeader(r.status)
	_, _ = rw.Write([]byte(r.body))
}

// LogStatus is what the status page tells of one log.
type LogStatus struct {
	Origin   countersign.LogOrigin `json:"origin"`
	Size     uint64                `json:"size"`
	Cosigned time.Time             `json:"cosigned"` // the zero time where it never was
	Age      string                `json:"age,omitempty"`
}

// Status tells how stale each of the logs is.
func (w *Witness) Status(origins []countersign.LogOrigin) []LogStatus {
	out := make([]LogStatus, 0, len(origins))
	for _, o := range origins {
		s := LogStatus{Origin: o}
		if _, at, size, err := w.Latest(o); err == nil {
			s.Size, s.Cosigned, s.Age = size, at.UTC(), w.cfg.Clock.Now().Sub(at).Round(time.Second).String()
		}
		out = append(out, s)
	}
	return out
}

// StatusHandler serves the status page, as HTML or (Accept: application/json) as JSON. origins lists the logs at the time of asking.
func (w *Witness) StatusHandler(origins func() []countersign.LogOrigin) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		page := struct {
			Name  string      `json:"name"`
			VKey  string      `json:"vkey"`
			Since time.Time   `json:"since"`
			Logs  []LogStatus `json:"logs"`
		}{w.cfg.Name, w.vkey, w.started.UTC(), w.Status(origins())}
		if strings.Contains(r.Header.Get("Accept"), "application/json") {
			rw.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(rw).Encode(page) // the peer went away: nobody is left to tell
			return
		}
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		rw.Header().Set("Content-Security-Policy", "default-src 'none'")
		_ = statusPage.Execute(rw, page) // as above
	})
}

var statusPage = template.Must(template.New("status").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Witness {{.Name}}</title></head><body>
<h1>Witness {{.Name}}</h1>
<p>Verifier key: <code>{{.VKey}}</code></p>
<p>This witness cosigns a log's checkpoint only if it continues every checkpoint that it has cosigned before. Running since {{.Since.Format "2006-01-02 15:04:05"}} UTC.</p>
<table><caption>Logs</caption><thead><tr><th scope="col">Log</th><th scope="col">Leaves</th><th scope="col">Last cosigned</th><th scope="col">Age</th></tr></thead><tbody>
{{range .Logs}}<tr><th scope="row">{{.Origin}}</th><td>{{.Size}}</td><td>{{if .Cosigned.IsZero}}never{{else}}{{.Cosigned.Format "2006-01-02 15:04:05"}} UTC{{end}}</td><td>{{.Age}}</td></tr>
{{end}}</tbody></table></body></html>
`))
