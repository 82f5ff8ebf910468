//! What must hold of any report: parts within their buckets, one answer a stream, output where text was delivered.

use super::reader::Reader;
use crate::upstream::sniff::Sniffed;

/// Delivered bytes that no token holds on average.
const BYTES_PER_TOKEN_MAX: u64 = 24;
/// Delivered bytes that are too few to tell anything.
const BYTES_SLACK: u64 = 64;

/// Flags what contradicts the report.
pub(super) fn check(reader: &mut Reader, seen: &Sniffed) {
    if seen.starts > 1 {
        reader.flag("second_message");
    }
    let Some(mut usage) = reader.mapped.usage else {
        if !reader.says_no_counts {
            reader.flag("usage_invalid");
        }
        return;
    };
    let mut clamped = usage.clamp_parts();
    reader.mapped.usage = Some(usage);
    for (_, usage) in &mut reader.mapped.more {
        clamped |= usage.clamp_parts();
    }
    if clamped {
        reader.flag("parts_clamped");
    }
    // Thinking that a server forgot to count, or a count that somebody made up. Text may be odd, so this proves nothing.
    let plausible = usage.output.saturating_mul(BYTES_PER_TOKEN_MAX).saturating_add(BYTES_SLACK);
    if seen.dialect.counts_output()
        && seen.says_its_end()
        && !seen.usage_is_placeholder
        && seen.output_bytes() > plausible
    {
        reader.note("output_implausible");
    }
}
