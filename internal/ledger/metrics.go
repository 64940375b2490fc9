package ledger

import "github.com/prometheus/client_golang/prometheus"

// Metrics are a log's counters. It is a prometheus.Collector, which the caller registers, with a label for the log where one process has
// several. No label holds personal data.
type Metrics struct {
	leaves, commits, commitFailures, pushback, pruned prometheus.Counter
	destroyed                                         prometheus.Counter
	overdueMonths                                     prometheus.Gauge
	batch, commitSeconds                              prometheus.Histogram
	signedSize, cosignedSize, publicSize              prometheus.Gauge
	staleness, suspended, clockWrong                  prometheus.Gauge
	witnessFailures                                   *prometheus.CounterVec
	witnessSkew                                       *prometheus.GaugeVec
}

func newMetrics() *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "countersign", Subsystem: "ledger", Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "countersign", Subsystem: "ledger", Name: name, Help: help})
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "countersign", Subsystem: "ledger", Name: name, Help: help, Buckets: buckets})
	}
	return &Metrics{
		leaves:         counter("leaves_total", "Leaves appended since the start."),
		commits:        counter("commits_total", "Transactions committed since the start."),
		commitFailures: counter("commit_failures_total", "Transactions that failed: nothing left on their account."),
		pushback:       counter("pushback_total", "Operations refused because too many waited."),
		pruned:         counter("pruned_rows_total", "Ended reservations and budgets removed."),
		destroyed:      counter("destroyed_records_total", "Records destroyed at their end."),
		overdueMonths:  gauge("overdue_months", "Months that are over and whose records are not destroyed yet: above 0 for long, look at the log."),
		batch:          histogram("batch_operations", "Operations of one transaction.", prometheus.ExponentialBuckets(1, 2, 9)),
		commitSeconds:  histogram("commit_seconds", "Time of one transaction, from taking its operations until they are durable.", prometheus.ExponentialBuckets(0.0001, 2, 16)),
		signedSize:     gauge("signed_size", "Leaves under the newest checkpoint that the log has signed."),
		cosignedSize:   gauge("cosigned_size", "Leaves under the newest checkpoint that a quorum of witnesses has cosigned."),
		publicSize:     gauge("public_size", "Leaves in the public view."),
		staleness:      gauge("cosigning_staleness_seconds", "Age of the oldest leaf that no quorum has cosigned: 0 where all are."),
		suspended:      gauge("suspended", "1 where the log takes no more records, because going on would fork it."),
		clockWrong:     gauge("clock_wrong", "1 where the clock stands too far from the witnesses' time, so that the log takes no records."),
		witnessFailures: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "countersign", Subsystem: "ledger", Name: "witness_failures_total",
			Help: "Submissions that a witness did not answer with a valid cosignature."}, []string{"witness"}),
		witnessSkew: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "countersign", Subsystem: "ledger", Name: "witness_clock_skew_seconds",
			Help: "A witness's time minus ours, by its newest cosignature, to half a second and half the round trip."}, []string{"witness"}),
	}
}

// Metrics are the log's counters, for registering.
func (l *Log) Metrics() *Metrics { return l.metrics }

func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.leaves, m.commits, m.commitFailures, m.pushback, m.pruned, m.destroyed, m.overdueMonths, m.batch, m.commitSeconds, m.signedSize,
		m.cosignedSize, m.publicSize, m.staleness, m.suspended, m.clockWrong, m.witnessFailures, m.witnessSkew}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(ch)
	}
}
