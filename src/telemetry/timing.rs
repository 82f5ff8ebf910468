//! How long one thing takes, again and again: a histogram that its owner keeps, and that takes no lock.

use prometheus::{Histogram, HistogramOpts, core::Collector, proto::MetricFamily};

use super::names::Described;

/// Times of one kind of thing.
#[derive(Clone, Debug)]
pub struct Timing(Option<Histogram>);

impl Timing {
    /// Nothing timed yet; `bounds` are in seconds, ascending.
    #[must_use]
    pub fn new(described: &Described, bounds: &[f64]) -> Self {
        let options = HistogramOpts::new(described.name, described.help).buckets(bounds.to_vec());
        // Refused is a malformed name only, and names are constants that a test looks at.
        Self(Histogram::with_opts(options).ok())
    }

    /// It took so long.
    pub fn took(&self, time: std::time::Duration) {
        if let Some(histogram) = &self.0 {
            histogram.observe(time.as_secs_f64());
        }
    }

    /// For a page.
    #[must_use]
    pub fn collect(&self) -> Vec<MetricFamily> {
        self.0.as_ref().map(Collector::collect).unwrap_or_default()
    }
}
