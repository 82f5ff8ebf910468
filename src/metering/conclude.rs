//! Concludes an answer of status 2xx from what its sniffer saw.

use tollgate_core::{
    counters::Counters,
    entry::{Outcome, UsageSource},
    estimate::{TextEstimate, tokens_from_bytes},
    pricing_context::PricingContext,
    usage::Usage,
};

use super::{Asked, End, Metered, MeteredLine, Reporter};
use crate::upstream::{
    dialect::Dialect,
    outcome,
    sniff::Sniffed,
    usage::{MappedUsage, map_usage, without_report},
};

/// The flag of an entry whose output the upstream did not say, or not yet.
const OUTPUT_ESTIMATED: &str = "output_estimated";

/// The flag of an entry whose upstream says that the answer has more tokens than were asked for at most: it is billed as told, and
/// not believed.
const OUTPUT_BEYOND_MAX: &str = "output_beyond_max";

/// The flag of an entry to which no answer came.
const UNANSWERED: &str = "unanswered";

/// The flag of an entry whose answer had a frame with a wrong checksum: what it said was not believed.
const FRAME_DAMAGED: &str = "frame_damaged";

/// What an answer of status 2xx used and how it ended.
///
/// Reported usage wins, even when the answer was cut after it. Without a report, units are counted, or the tokens of delivered
/// text are estimated and marked; an answer of which nothing came is not billed. An estimate counts the tokens of at most
/// [`SAMPLE_BYTES_MAX`](crate::upstream::sniff::SAMPLE_BYTES_MAX) bytes: a fraction of a millisecond, once, after the last byte.
#[must_use]
pub fn conclude(seen: &Sniffed, end: End, asked: &Asked, reporter: Reporter) -> Metered {
    let outcome = match end {
        End::ClientLeft => Outcome::ClientDisconnect,
        End::Shutdown => Outcome::Shutdown,
        End::Terminal | End::Eof => outcome::of_answer(seen, true),
        End::Cut => outcome::of_answer(seen, false),
    };
    let mut metered = Metered::nothing(outcome, None);
    let mut mapped = map_usage(seen).unwrap_or_else(|| without_report(seen));
    metered.flags = std::mem::take(&mut mapped.flags);
    if seen.damaged {
        metered.flags.push(FRAME_DAMAGED.to_owned());
    }
    metered.counters = mapped.counters;
    metered.counters.characters = asked.characters;
    metered.reported_total = mapped.reported_total;
    metered.reported_cost_usd = mapped.reported_cost_usd.take();
    metered.raw_usage = mapped.raw.take();
    let (source, usage) = if seen.dialect.is_free() {
        (UsageSource::NotBilled, None)
    } else if let Some(usage) = mapped.usage {
        let (source, usage) = reported(&mut metered, &mapped, usage, (seen, asked), end);
        (source, Some(usage))
    } else if is_by_unit(seen, asked) {
        if seen.images > 0 {
            // What was made counts, and what was asked for where the answer does not say.
            let context = &mut mapped.context;
            context.image_size = context.image_size.take().or_else(|| asked.image_size.clone());
            context.image_quality = context.image_quality.take().or_else(|| asked.image_quality.clone());
        }
        (UsageSource::CountedUnits, Some(Usage::default()))
    } else {
        unreported(&mut metered, seen, asked)
    };
    metered.source = source;
    metered.lines = usage.map(|usage| lines(usage, mapped, seen)).unwrap_or_default();
    if reporter == Reporter::Worker {
        metered.take_worker_time();
    }
    metered
}

/// The same, of a request at a provider that the gateway ended because its client had left: what was sent is taken to have been
/// read, also where nothing of an answer came yet.
#[must_use]
pub fn conclude_left(seen: &Sniffed, end: End, asked: &Asked) -> Metered {
    let mut metered = conclude(seen, end, asked, Reporter::Provider);
    let costs_nothing = is_free(seen) || seen.dialect.is_free();
    if metered.source == UsageSource::NotBilled && !costs_nothing {
        if asked.by_unit && asked.characters == 0 {
            // How many would have been made or ranked nobody knows.
            metered.flags.push(UNANSWERED.to_owned());
            return metered;
        }
        let (source, input) = if asked.characters > 0 {
            (UsageSource::CountedUnits, 0)
        } else {
            (UsageSource::Estimated, asked.input_estimate)
        };
        metered.source = source;
        metered.lines =
            vec![MeteredLine { usage: Usage { input_uncached: input, ..Usage::default() }, ..MeteredLine::default() }];
    }
    metered
}

/// Moderations cost nothing, and neither does a prompt that was refused.
const fn is_free(seen: &Sniffed) -> bool {
    matches!(seen.dialect, Dialect::OpenAiModerations) || seen.blocked.is_some() || seen.error_seen
}

/// Usage that the upstream reported, with an estimate where its output is a placeholder.
fn reported(
    metered: &mut Metered,
    mapped: &MappedUsage,
    mut usage: Usage,
    (seen, asked): (&Sniffed, &Asked),
    end: End,
) -> (UsageSource, Usage) {
    let ended = seen.done || seen.has_finished() || end == End::Terminal;
    let finished = ended && !seen.usage_is_placeholder;
    let is_estimated = needs_output(&usage, seen);
    if is_estimated {
        usage.output = estimate_output(metered, seen);
        metered.flags.push(OUTPUT_ESTIMATED.to_owned());
    }
    // Thinking counts towards the maximum at some and not at others; other calls within the request have their own.
    let answered = usage.output.saturating_sub(usage.reasoning);
    let is_beyond = asked.output_max > 0 && answered > asked.output_max && mapped.more.is_empty();
    if is_beyond {
        metered.flags.push(OUTPUT_BEYOND_MAX.to_owned());
    }
    let contradicted = mapped.is_suspect || seen.damaged || is_beyond || finished && is_estimated;
    let source = match (finished, contradicted, mapped.from_headers) {
        (false, ..) => UsageSource::ProviderPartial,
        (true, true, _) => UsageSource::ProviderFinalSuspect,
        (true, false, true) => UsageSource::ProviderHeaders,
        (true, false, false) => UsageSource::ProviderFinal,
    };
    (source, usage)
}

/// Whether the output is to be estimated, as its count is a placeholder: a cumulative one may lag behind what was delivered,
/// and a final one may have forgotten it.
const fn needs_output(usage: &Usage, seen: &Sniffed) -> bool {
    let is_placeholder = seen.usage_is_placeholder || usage.output == 0 && seen.dialect.counts_output();
    is_placeholder && seen.output_bytes() > 0
}

/// The tokens of what was delivered, and how they were estimated.
fn estimate_output(metered: &mut Metered, seen: &Sniffed) -> u64 {
    let (sealed_bytes, sample) = (seen.sealed_bytes, &seen.sample);
    let bytes = seen.output_bytes().saturating_sub(sealed_bytes);
    let sample_tokens = u64::try_from(tollgate_tokens::count(&sample.text())).unwrap_or(u64::MAX);
    let sampled = u64::try_from(sample.len()).unwrap_or(u64::MAX);
    let estimate = TextEstimate { bytes, sample_bytes: sampled.min(bytes), sample_tokens, sealed_bytes };
    metered.output_estimate = Some(estimate);
    estimate.tokens()
}

/// What is known of an answer under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SoFar {
    /// The tokens that it has used; none when nothing was reported yet.
    pub usage: Option<Usage>,
    /// What else picks the price.
    pub context: PricingContext,
    /// Units beside tokens.
    pub counters: Counters,
    /// The model that serves, as the upstream said.
    pub billed_model: Option<String>,
}

/// What an answer under way has said of its use.
#[must_use]
pub fn used_so_far(seen: &Sniffed) -> SoFar {
    let mut mapped = map_usage(seen).unwrap_or_else(|| without_report(seen));
    if let Some(usage) = mapped.usage.as_mut().filter(|usage| needs_output(usage, seen)) {
        // For the case that the gateway dies: whatever the text was, it is gone then.
        usage.output = tokens_from_bytes(seen.output_bytes());
    }
    let billed_model = mapped.billed_model.or_else(|| seen.model.clone());
    SoFar { usage: mapped.usage, context: mapped.context, counters: mapped.counters, billed_model }
}

/// Pictures and speech are billed by the unit when nothing is reported.
const fn is_by_unit(seen: &Sniffed, asked: &Asked) -> bool {
    match seen.dialect {
        Dialect::OpenAiImages | Dialect::BedrockInvoke => seen.images > 0,
        Dialect::OpenAiSpeech => asked.characters > 0 && (seen.opaque_bytes > 0 || seen.answer_seen),
        _ => false,
    }
}

/// Nothing was reported: the published rules for what was sent and delivered.
fn unreported(metered: &mut Metered, seen: &Sniffed, asked: &Asked) -> (UsageSource, Option<Usage>) {
    let delivered = seen.output_bytes() > 0 || seen.opaque_bytes > 0;
    let something_came = delivered || seen.answer_seen || seen.finish.is_some();
    // The body of a vendor's own that says nothing that is known is an answer all the same.
    let something_came = something_came || seen.dialect == Dialect::BedrockInvoke && seen.is_json_object;
    if !something_came || is_free(seen) && !delivered {
        return (UsageSource::NotBilled, None);
    }
    if seen.pending && !delivered {
        return (UsageSource::Deferred, None);
    }
    let output = if seen.output_bytes() > 0 { estimate_output(metered, seen) } else { 0 };
    (UsageSource::Estimated, Some(Usage { input_uncached: asked.input_estimate, output, ..Usage::default() }))
}

/// The line of the model that answered, then those of other calls within the request.
fn lines(usage: Usage, mapped: Box<MappedUsage>, seen: &Sniffed) -> Vec<MeteredLine> {
    let MappedUsage { billed_model, more, context, .. } = *mapped;
    let answered = billed_model.or_else(|| seen.model.clone());
    let more = more.into_iter().map(|(model, usage)| MeteredLine {
        billed_model: model.or_else(|| answered.clone()),
        usage,
        context: context.clone(),
    });
    let mut lines: Vec<MeteredLine> = more.collect();
    lines.insert(0, MeteredLine { billed_model: answered, usage, context });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_priced_as_they_were_made_and_as_asked_for_where_the_answer_does_not_say() {
        let asked = Asked {
            image_size: Some("1024x1024".to_owned()),
            image_quality: Some("high".to_owned()),
            ..Asked::default()
        };
        let mut seen =
            Sniffed { dialect: Dialect::OpenAiImages, images: 2, is_json_object: true, ..Sniffed::default() };
        let context = |seen: &Sniffed| {
            let metered = conclude(seen, End::Eof, &asked, Reporter::Provider);
            assert_eq!((metered.source, metered.counters.image_count), (UsageSource::CountedUnits, 2));
            let context = metered.lines[0].context.clone();
            (context.image_size.unwrap(), context.image_quality.unwrap())
        };
        assert_eq!(context(&seen), ("1024x1024".to_owned(), "high".to_owned()));
        seen.members = vec![("size", "\"512x512\"".to_owned())];
        assert_eq!(context(&seen), ("512x512".to_owned(), "high".to_owned()));
        seen.members.push(("quality", "\"low\"".to_owned()));
        assert_eq!(context(&seen), ("512x512".to_owned(), "low".to_owned()));
    }
}
