//! `[telemetry]`: logs, and where spans and metrics go.

use super::{
    super::{LogRequests, Otlp, Telemetry},
    Builder,
};

impl Builder<'_> {
    pub(super) fn telemetry(&mut self) -> Telemetry {
        Telemetry {
            log_json: self.text("telemetry.log_format") != "text",
            log_requests: match self.text("telemetry.log_requests").as_str() {
                "none" => LogRequests::Nothing,
                "all" => LogRequests::All,
                _ => LogRequests::Failures,
            },
            otlp: self.otlp(),
        }
    }

    fn otlp(&mut self) -> Option<Otlp> {
        let endpoint = self.text("telemetry.otlp_endpoint").trim_end_matches('/').to_owned();
        // Checked although nothing is sent: a mistake is told when it is made.
        let sample_ratio: f64 = self.text("telemetry.sample_ratio").parse().unwrap_or(0.0);
        if !(0.0..=1.0).contains(&sample_ratio) {
            self.mistake("telemetry.sample_ratio", "must be a share from 0 to 1, such as \"0.1\"");
        }
        let metrics_interval_ms = self.at_least_one("telemetry.metrics_interval_ms");
        if endpoint.is_empty() {
            return None;
        }
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            self.mistake("telemetry.otlp_endpoint", "must be a URL such as http://127.0.0.1:4318");
        }
        Some(Otlp {
            endpoint,
            is_json: self.text("telemetry.otlp_protocol") == "http/json",
            sample_ratio,
            headers: self.secret("telemetry.otlp_headers"),
            service_name: self.text("telemetry.service_name"),
            metrics_interval_ms,
        })
    }
}
