//! What a provider says that a request cost, as decimal text of US dollars.

use super::{
    object::{Object, Value},
    reader::object,
};

/// xAI's ticks in one US dollar.
const TICKS_PER_USD: u64 = 10_000_000_000;
/// Largest exponent that is written out.
const EXPONENT_MAX: usize = 30;

/// OpenRouter's `cost` as it was written, Perplexity's within an object, or xAI's ticks as dollars.
pub(super) fn reported(usage: &Object<'_>) -> Option<String> {
    match (usage.get("cost"), usage.get("cost_in_usd_ticks").and_then(Value::as_u64)) {
        (Some(Value::Object(_)), _) => plain(object(usage, "cost").get("total_cost")?),
        (Some(cost), _) if !cost.is_null() => plain(cost),
        (_, Some(ticks)) => Some(trimmed(&format!("{}.{:010}", ticks / TICKS_PER_USD, ticks % TICKS_PER_USD))),
        _ => None,
    }
}

fn plain(value: &Value<'_>) -> Option<String> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::Text(text) => text.trim().to_owned(),
        _ => return None,
    };
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((&text, "0"));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(part) {
        return None;
    }
    let exponent: i32 = exponent.parse().ok()?;
    let by = usize::try_from(exponent.unsigned_abs()).ok().filter(|by| *by <= EXPONENT_MAX)?;
    let digits = format!("{}{whole}{part}{}", "0".repeat(by), "0".repeat(by));
    let point = by + whole.len();
    let point = if exponent < 0 { point - by } else { point + by };
    let (whole, part) = digits.split_at_checked(point)?;
    let whole = whole.trim_start_matches('0');
    Some(trimmed(&format!("{}.{part}", if whole.is_empty() { "0" } else { whole })))
}

fn trimmed(text: &str) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_written_out_in_plain_decimals() {
        for (raw, told) in [
            (r#"{"cost":0.00341475}"#, "0.00341475"),
            (r#"{"cost":1e-6}"#, "0.000001"),
            (r#"{"cost":1.5e-7}"#, "0.00000015"),
            (r#"{"cost":12}"#, "12"),
            (r#"{"cost":0}"#, "0"),
            (r#"{"cost":1.25e2}"#, "125"),
            (r#"{"cost":"0.50"}"#, "0.5"),
            (r#"{"cost":{"total_cost":0.006}}"#, "0.006"),
            (r#"{"cost_in_usd_ticks":1466250}"#, "0.000146625"),
        ] {
            assert_eq!(reported(&Object::parse(raw).unwrap()).as_deref(), Some(told), "{raw}");
        }
        for raw in [r#"{"cost":-1}"#, r#"{"cost":null}"#, r#"{"cost":"free"}"#, "{}"] {
            assert_eq!(reported(&Object::parse(raw).unwrap()), None, "{raw}");
        }
    }
}
