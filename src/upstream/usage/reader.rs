//! Reads counts out of a usage object and keeps what is to be said about them.

use tollgate_core::pricing_context::PricingContext;

use super::{
    MappedUsage, note_tier,
    object::{Object, Value},
};

/// A larger count is no count of tokens.
const TOKENS_MAX: u64 = 1 << 40;
/// Longest region or traffic type that is believed.
const WORD_BYTES_MAX: usize = 64;

/// What is being made of a report.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) mapped: Box<MappedUsage>,
    /// The report holds no counts, and is not meant to.
    pub(super) says_no_counts: bool,
}

impl Reader {
    /// Says what contradicts the numbers.
    pub(super) fn flag(&mut self, flag: &str) {
        self.mapped.is_suspect = true;
        self.note(flag);
    }

    /// Says what is worth knowing.
    pub(super) fn note(&mut self, note: &str) {
        if !self.mapped.flags.iter().any(|known| known == note) {
            self.mapped.flags.push(note.to_owned());
        }
    }

    /// A count; absent and null are none, what is no count is none and flagged.
    pub(super) fn count(&mut self, object: &Object<'_>, name: &str) -> Option<u64> {
        let value = object.get(name).filter(|value| !value.is_null())?;
        let count = count_of(value).filter(|count| *count <= TOKENS_MAX);
        if count.is_none() {
            self.flag("usage_invalid");
        }
        count
    }

    /// A count that is zero when it is not told.
    pub(super) fn count_or_zero(&mut self, object: &Object<'_>, name: &str) -> u64 {
        self.count(object, name).unwrap_or(0)
    }

    /// The first of these counts that is told.
    pub(super) fn first_count(&mut self, object: &Object<'_>, names: &[&str]) -> Option<u64> {
        names.iter().find_map(|name| self.count(object, name))
    }

    /// A time in seconds, maybe with decimals, as milliseconds.
    pub(super) fn millis(&mut self, object: &Object<'_>, name: &str) -> Option<u64> {
        let value = object.get(name).filter(|value| !value.is_null())?;
        let millis = match value {
            Value::Number(number) => millis_of(&number.to_string()),
            Value::Text(text) => millis_of(text),
            _ => None,
        };
        let millis = millis.filter(|millis| *millis <= TOKENS_MAX);
        if millis.is_none() {
            self.flag("usage_invalid");
        }
        millis
    }

    /// Input that holds its caches: what is fresh of it, and the caches as far as they fit.
    pub(super) fn take_from(&mut self, input: u64, read: u64, written: u64) -> (u64, u64, u64) {
        let Some(fresh) = input.checked_sub(read.saturating_add(written)) else {
            self.flag("cached_exceeds_prompt");
            let read = read.min(input);
            return (0, read, written.min(input - read));
        };
        (fresh, read, written)
    }

    /// Notes what picks the price, as the usage object says.
    pub(super) fn context(&mut self, object: &Object<'_>, tier: &str, region: &str, traffic: &str) {
        let word = |name: &str| object.get(name).and_then(Value::as_str).filter(|word| word.len() <= WORD_BYTES_MAX);
        if let Some(tier) = word(tier) {
            note_tier(&mut self.mapped, tier);
        }
        let context: &mut PricingContext = &mut self.mapped.context;
        context.region = word(region).filter(|region| *region != "not_available").map(str::to_owned);
        context.traffic_type = word(traffic).map(str::to_owned);
    }
}

/// A member that is an object; an empty one where it is not.
pub(super) fn object<'a, 'b>(of: &'b Object<'a>, name: &str) -> &'b Object<'a> {
    of.get(name).and_then(Value::as_object).unwrap_or(const { &Object::empty() })
}

/// The objects of a member that is an array.
pub(super) fn objects<'a, 'b>(of: &'b Object<'a>, name: &str) -> impl Iterator<Item = &'b Object<'a>> {
    of.get(name).and_then(Value::as_list).into_iter().flatten().filter_map(Value::as_object)
}

fn count_of(value: &Value<'_>) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| whole(&number.to_string())),
        Value::Text(text) => whole(text),
        _ => None,
    }
}

/// A whole number, also written as `12.0`.
fn whole(text: &str) -> Option<u64> {
    let (digits, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    if part.bytes().all(|byte| byte == b'0') { digits.parse().ok() } else { None }
}

/// Seconds with decimals as milliseconds, rounded up: a provider that rounds rounds up.
fn millis_of(text: &str) -> Option<u64> {
    let (seconds, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    if !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = format!("{part:0<3}");
    let (millis, rest) = digits.split_at_checked(3)?;
    let up = u64::from(rest.bytes().any(|byte| byte != b'0'));
    seconds.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(millis.parse().ok()?)?.checked_add(up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_counted_in_milliseconds_without_a_float() {
        for (text, millis) in [("42", 42_000), ("41.25", 41_250), ("0.0001", 1), ("3.9999", 4_000)] {
            assert_eq!(millis_of(text), Some(millis), "{text}");
        }
        for text in ["", "-1", "1e3", "1.-5", "many"] {
            assert_eq!(millis_of(text), None, "{text}");
        }
    }
}
