//! What a question about usage may say: how it is grouped, and from when to when.

use jiff::Timestamp;

use crate::store::rollups::{By, HOUR_US};

/// Reads `by`: names with commas between, each of `known`; none: the model.
///
/// # Errors
/// What is wrong with it.
pub(super) fn groups(text: Option<&str>, known: &[(&str, By)]) -> Result<Vec<By>, String> {
    let mut by: Vec<By> = Vec::new();
    for word in text.unwrap_or("model").split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let Some((_, group)) = known.iter().find(|(name, _)| *name == word) else {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            return Err(format!("by: `{word}` is not one of {}", names.join(", ")));
        };
        if !by.contains(group) {
            by.push(*group);
        }
    }
    Ok(by)
}

/// Reads a time at a full hour, which is how usage is kept: microseconds since 1970 UTC.
///
/// # Errors
/// What is wrong with it.
pub(super) fn hour(text: Option<&str>, name: &str) -> Result<Option<i64>, String> {
    let Some(text) = text else { return Ok(None) };
    let moment = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    match moment.parse::<Timestamp>().map(Timestamp::as_microsecond) {
        Ok(at_us) if at_us % HOUR_US == 0 => Ok(Some(at_us)),
        Ok(_) => Err(format!("{name}: usage is kept by the hour; write a full hour such as 2026-11-24T15:00:00Z")),
        Err(_) => Err(format!("{name}: write a day (2026-11-24) or a time (2026-11-24T15:00:00Z)")),
    }
}
