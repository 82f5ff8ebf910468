//! Prices, times and counts as TOML values, each mistake with its line.

use jiff::Timestamp;
use tollgate_core::decimal::Decimal;
use toml::de::{DeTable, DeValue};

use crate::catalog::toml_walk::Walk;

impl Walk<'_> {
    /// A whole number that is not negative.
    pub(super) fn whole_number(&mut self, table: &DeTable<'_>, key: &str, at: usize) -> Option<u64> {
        let number = match table.get(key).map(|value| value.get_ref()) {
            Some(DeValue::Integer(number)) => {
                u64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
            }
            _ => None,
        };
        if number.is_none() {
            self.mistake(at, format!("{key} must be a whole number of tokens"));
        }
        number
    }

    /// A price in quotes.
    pub(super) fn decimal(&mut self, value: &DeValue<'_>, at: usize, key: &str) -> Option<Decimal> {
        match value {
            DeValue::String(text) => match text.parse() {
                Ok(price) => return Some(price),
                Err(error) => self.mistake(at, format!("{key}: {error}")),
            },
            DeValue::Float(number) => self.mistake(
                at,
                format!("{key}: write the price in quotes, \"{}\": a float is not exact", number.as_str()),
            ),
            DeValue::Integer(number) => {
                self.mistake(at, format!("{key}: write the price in quotes, \"{}\"", number.as_str()))
            }
            _ => self.mistake(at, format!("{key}: must be a price in quotes, such as \"2.50\"")),
        }
        None
    }

    /// A time in quotes (RFC 3339), or a day, which begins at midnight UTC. Microseconds since 1970.
    pub(super) fn time(&mut self, table: &DeTable<'_>, key: &str, at: usize) -> Option<i64> {
        let (text, at) = match table.get(key).map(|value| (value.get_ref(), value.span().start)) {
            Some((DeValue::String(text), at)) => (text.to_string(), at),
            Some((DeValue::Datetime(time), at)) => (time.to_string(), at),
            Some((_, at)) => (String::new(), at),
            None => {
                self.mistake(at, format!("{key} is missing, such as \"2026-01-31T00:00:00Z\""));
                return None;
            }
        };
        let moment = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text };
        match moment.parse::<Timestamp>() {
            Ok(time) => Some(time.as_microsecond()),
            Err(_) => {
                self.mistake(at, format!("{key} must be a time such as \"2026-01-31T00:00:00Z\", or a day"));
                None
            }
        }
    }
}
