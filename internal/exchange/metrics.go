package exchange

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign.dev/countersign"
)

// Metrics counts exchanges without naming anybody: outcomes, codes of what was not taken, times.
type Metrics struct {
	answers  *prometheus.CounterVec
	asks     *prometheus.CounterVec
	untaken  *prometheus.CounterVec
	duration prometheus.Histogram
	open     prometheus.Gauge
}

// NewMetrics makes the counters and registers them.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "countersign_answers_total", Help: "Questions answered as provider, by outcome."}, []string{"outcome"}),
		asks:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "countersign_asks_total", Help: "Questions asked as consumer, by how they were closed."}, []string{"outcome"}),
		untaken: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "countersign_untaken_total", Help: "Requests that were nobody's question, by code; only counted, never recorded."}, []string{"code"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "countersign_record_seconds", Help: "From the decision to release to the answer's last byte: record, receipt, signature.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .5, 1, 5}}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{Name: "countersign_open_intents", Help: "Questions asked as consumer of which the provider has not said yet what became of them."}),
	}
	for _, c := range []prometheus.Collector{m.answers, m.asks, m.untaken, m.duration, m.open} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) answered(o countersign.Outcome, took time.Duration) {
	m.answers.WithLabelValues(o.String()).Inc()
	m.duration.Observe(took.Seconds())
}

func (m *Metrics) asked(o countersign.Outcome) { m.asks.WithLabelValues(o.String()).Inc() }

func (m *Metrics) unsettled(n int) { m.open.Set(float64(n)) }

func (m *Metrics) noise(c countersign.Code) { m.untaken.WithLabelValues(c.String()).Inc() }

// logFailure writes the operator's line: the exchange's id, the code, our own message and the cause. None of them holds personal data:
// refusals are written without it, and causes come from libraries that saw no payload.
func (g *Gateway) logFailure(ctx context.Context, what, id string, err error) {
	level := slog.LevelInfo
	code := countersign.CodeOf(err)
	if code.Temporary() {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("event", what), slog.String("exchange", id), slog.String("code", code.String()), slog.String("reason", countersign.MessageOf(err))}
	if why := countersign.CauseOf(err); why != nil {
		attrs = append(attrs, slog.String("cause", why.Error()))
	} else if code == countersign.CodeInternal {
		attrs = append(attrs, slog.String("cause", err.Error()))
	}
	g.Logger.LogAttrs(ctx, level, "exchange", attrs...)
}
