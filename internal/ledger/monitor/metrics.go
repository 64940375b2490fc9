package monitor

import "github.com/prometheus/client_golang/prometheus"

// Metrics are a monitor's gauges. It is a prometheus.Collector, which the caller registers. No label holds personal data.
type Metrics struct {
	size, staleness  *prometheus.GaugeVec
	findings         *prometheus.GaugeVec
	waiting, at      prometheus.Gauge
	passes, failures prometheus.Counter
}

// NewMetrics makes the gauges.
func NewMetrics() *Metrics {
	gauge := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Namespace: "countersign", Subsystem: "monitor", Name: name, Help: help}
	}
	return &Metrics{
		size:      prometheus.NewGaugeVec(gauge("size", "Leaves that are mirrored."), []string{"origin"}),
		staleness: prometheus.NewGaugeVec(gauge("staleness_seconds", "Age of the newest cosignature of what a log shows."), []string{"origin"}),
		findings:  prometheus.NewGaugeVec(gauge("findings", "Findings of the last pass, by kind."), []string{"kind"}),
		waiting:   prometheus.NewGauge(gauge("waiting", "Records whose other side may still come.")),
		at:        prometheus.NewGauge(gauge("last_pass_timestamp_seconds", "When the last pass ended.")),
		passes:    prometheus.NewCounter(prometheus.CounterOpts(gauge("passes_total", "Passes over all logs."))),
		failures:  prometheus.NewCounter(prometheus.CounterOpts(gauge("failed_passes_total", "Passes that the monitor itself could not finish."))),
	}
}

func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.size, m.staleness, m.findings, m.waiting, m.at, m.passes, m.failures}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(out)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(out)
	}
}

// Observe shows a pass's result; nil is a pass that failed.
func (m *Metrics) Observe(r *Report) {
	if r == nil {
		m.failures.Inc()
		return
	}
	m.passes.Inc()
	m.at.Set(float64(r.At.Unix()))
	m.waiting.Set(float64(r.Waiting))
	for _, l := range r.Logs {
		m.size.WithLabelValues(string(l.Origin)).Set(float64(l.Size))
		m.staleness.WithLabelValues(string(l.Origin)).Set(l.Staleness)
	}
	m.findings.Reset()
	for i := range r.Findings {
		m.findings.WithLabelValues(string(r.Findings[i].Kind)).Inc()
	}
}

// Fresh gives the findings that an earlier report did not have; a nil earlier report had none.
func Fresh(earlier, now *Report) []Finding {
	known := map[string]bool{}
	if earlier != nil {
		for i := range earlier.Findings {
			known[earlier.Findings[i].key()] = true
		}
	}
	var out []Finding
	for i := range now.Findings {
		if !known[now.Findings[i].key()] {
			out = append(out, now.Findings[i])
		}
	}
	return out
}
