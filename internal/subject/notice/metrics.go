package notice

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign.dev/countersign"
)

// Metrics count what notices do. No label holds personal data. A nil one counts nothing.
type Metrics struct {
	messages *prometheus.CounterVec
	asks     *prometheus.CounterVec
	waiting  prometheus.Gauge
	oldest   prometheus.Gauge
}

// NewMetrics makes and registers them.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_notices_total", Help: "Attempts at delivering messages to people, by kind of contact and outcome: sent, failed (tried again), given-up.",
		}, []string{"kind", "outcome"}),
		asks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_notice_asks_total", Help: "Requests to gateways whether there is anything new, by outcome: answered, failed.",
		}, []string{"outcome"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "countersign_notices_waiting", Help: "Messages in the outbox."}),
		oldest:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "countersign_notices_oldest_seconds", Help: "Age of the oldest message in the outbox."}),
	}
	for _, c := range []prometheus.Collector{m.messages, m.asks, m.waiting, m.oldest} {
		if err := r.Register(c); err != nil {
			return nil, countersign.RefuseBecause(countersign.CodeInternal, err, "the metrics of notices cannot be registered")
		}
	}
	return m, nil
}

func (m *Metrics) delivered(kind Kind, outcome string) {
	if m != nil {
		m.messages.WithLabelValues(string(kind), outcome).Inc()
	}
}

func (m *Metrics) asked(err error) {
	if m == nil {
		return
	}
	outcome := "answered"
	if err != nil {
		outcome = "failed"
	}
	m.asks.WithLabelValues(outcome).Inc()
}

func (m *Metrics) waits(count int, oldest countersign.Millis, now time.Time) {
	if m == nil {
		return
	}
	m.waiting.Set(float64(count))
	age := 0.0
	if count > 0 {
		age = now.Sub(oldest.Time()).Seconds()
	}
	m.oldest.Set(age)
}
