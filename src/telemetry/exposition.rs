//! Families of metrics as Prometheus reads them, made from the list of names.

use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, TextEncoder,
    core::{Collector, Desc},
    proto::{Counter, MetricFamily},
};

use super::names::{Described, Kind};

/// Nano-dollars of a dollar, for showing: counters are whole nano-dollars, Prometheus has floats only.
const NANOUSD_PER_USD: f64 = 1e9;

pub(super) fn counters(described: &Described) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(described.name, described.help), described.labels)
}

pub(super) fn histograms(described: &Described, bounds: &[f64]) -> Result<HistogramVec, prometheus::Error> {
    let options = HistogramOpts::new(described.name, described.help).buckets(bounds.to_vec());
    HistogramVec::new(options, described.labels)
}

/// Shows counters of nano-dollars in dollars.
pub(super) struct Usd(pub(super) IntCounterVec);

impl Collector for Usd {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        for family in &mut families {
            for metric in family.mut_metric() {
                let mut counter = Counter::default();
                counter.set_value(metric.get_counter().get_value() / NANOUSD_PER_USD);
                metric.set_counter(counter);
            }
        }
        families
    }
}

/// A page of metrics: what was gathered, and what is known at the moment of asking.
#[derive(Default)]
pub struct Page(Vec<MetricFamily>);

impl Page {
    /// Begins with what was gathered.
    #[must_use]
    pub fn new(gathered: Vec<MetricFamily>) -> Self {
        Self(gathered)
    }

    /// Adds a whole number without labels.
    pub fn number(&mut self, described: &Described, value: u64) {
        let options = Opts::new(described.name, described.help);
        let families = match described.kind {
            Kind::Counter => IntCounter::with_opts(options).map(|counter| {
                counter.inc_by(value);
                counter.collect()
            }),
            Kind::Gauge | Kind::Histogram => IntGauge::with_opts(options).map(|gauge| {
                gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
                gauge.collect()
            }),
        };
        // Refused is a malformed name only, and names are constants that a test looks at.
        self.0.extend(families.unwrap_or_default());
    }

    /// Adds a gauge of any size without labels.
    pub fn gauge(&mut self, described: &Described, value: f64) {
        let families = Gauge::with_opts(Opts::new(described.name, described.help)).map(|gauge| {
            gauge.set(value);
            gauge.collect()
        });
        self.0.extend(families.unwrap_or_default());
    }

    /// Adds a number for each value of the only label; nothing when there is none.
    pub fn labelled<'a>(&mut self, described: &Described, rows: impl IntoIterator<Item = (&'a str, f64)>) {
        let Ok(vector) = GaugeVec::new(Opts::new(described.name, described.help), described.labels) else { return };
        for (label, value) in rows {
            vector.with_label_values(&[label]).set(value);
        }
        let mut families = vector.collect();
        if described.kind == Kind::Counter {
            families.iter_mut().for_each(as_counter);
        }
        self.0.extend(families.into_iter().filter(|family| !family.get_metric().is_empty()));
    }

    /// Adds families as they are.
    pub fn families(&mut self, families: Vec<MetricFamily>) {
        self.0.extend(families);
    }

    /// The page in Prometheus's text format, by name.
    ///
    /// # Errors
    /// When it cannot be written in that format.
    pub fn text(mut self) -> Result<String, prometheus::Error> {
        self.0.retain(|family| !family.get_metric().is_empty());
        self.0.sort_by(|one, other| one.name().cmp(other.name()));
        TextEncoder::new().encode_to_string(&self.0)
    }
}

fn as_counter(family: &mut MetricFamily) {
    family.set_field_type(prometheus::proto::MetricType::COUNTER);
    for metric in family.mut_metric() {
        let mut counter = Counter::default();
        counter.set_value(metric.get_gauge().get_value());
        metric.set_counter(counter);
    }
}
