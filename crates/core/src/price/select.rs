//! Which variant of a table applies to a line: by what the answer said of it, and by the time of day.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::table::{PriceTable, Variant};
use crate::pricing_context::{PricingContext, ServiceTier};

const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 86_400_000_000;

/// A window of the day in UTC, such as `16:30-00:30`: half-open, over midnight when it ends before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hours {
    from_us: i64,
    to_us: i64,
}

/// Why a text is not a window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a window of the day: write it in UTC, such as \"16:30-00:30\"")]
pub struct ParseHoursError(String);

impl Hours {
    /// Whether a moment (microseconds since 1970 UTC) is in it.
    #[must_use]
    pub const fn contains(self, at_us: i64) -> bool {
        let Some(of_day) = at_us.checked_rem_euclid(DAY_US) else { return false };
        if self.from_us < self.to_us {
            self.from_us <= of_day && of_day < self.to_us
        } else {
            self.from_us <= of_day || of_day < self.to_us
        }
    }

    /// Whether some moment is in both.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.contains(other.from_us) || other.contains(self.from_us)
    }
}

impl std::str::FromStr for Hours {
    type Err = ParseHoursError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let window = text.split_once('-').and_then(|(from, to)| Some((of_day(from)?, of_day(to)?)));
        match window {
            Some((from_us, to_us)) if from_us != to_us => Ok(Self { from_us, to_us }),
            _ => Err(ParseHoursError(text.to_owned())),
        }
    }
}

/// `16:30` in microseconds.
fn of_day(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, most: i64| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i64>().ok().filter(|number| digits && *number <= most)
    };
    number(hours, 23)?.checked_mul(60)?.checked_add(number(minutes, 59)?)?.checked_mul(MINUTE_US)
}

impl std::fmt::Display for Hours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |us: i64| {
            let minutes = us.checked_div(MINUTE_US).unwrap_or(0);
            (minutes.checked_div(60).unwrap_or(0), minutes.checked_rem(60).unwrap_or(0))
        };
        let ((from_hour, from_minute), (to_hour, to_minute)) = (shown(self.from_us), shown(self.to_us));
        write!(f, "{from_hour:02}:{from_minute:02}-{to_hour:02}:{to_minute:02}")
    }
}

impl Serialize for Hours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// When a variant applies: all that is said here must be so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// The tier that served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<ServiceTier>,
    /// Where inference ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The provider's kind of traffic, such as `PROVISIONED_THROUGHPUT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_type: Option<String>,
    /// Width and height of pictures, such as `1024x1024`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<String>,
    /// Quality of pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_quality: Option<String>,
    /// Time of admission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
}

/// `service_tier flex, hours 16:30-00:30`
impl std::fmt::Display for When {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts = [
            ("region", &self.region),
            ("traffic_type", &self.traffic_type),
            ("image_size", &self.image_size),
            ("image_quality", &self.image_quality),
        ];
        let tier = self.service_tier.map(|tier| format!("service_tier {}", tier.name()));
        let texts = texts.into_iter().filter_map(|(name, text)| text.as_ref().map(|text| format!("{name} {text}")));
        let hours = self.hours.map(|hours| format!("hours {hours}"));
        f.write_str(&tier.into_iter().chain(texts).chain(hours).collect::<Vec<_>>().join(", "))
    }
}

impl When {
    /// Whether a line of this context, admitted at this time, is meant.
    #[must_use]
    pub fn applies(&self, context: &PricingContext, at_us: i64) -> bool {
        let text = |own: &Option<String>, said: &Option<String>| match (own, said) {
            (None, _) => true,
            (Some(own), Some(said)) => own.eq_ignore_ascii_case(said),
            (Some(_), None) => false,
        };
        self.service_tier.is_none_or(|own| context.service_tier.unwrap_or_default() == own)
            && text(&self.region, &context.region)
            && text(&self.traffic_type, &context.traffic_type)
            && text(&self.image_size, &context.image_size)
            && text(&self.image_quality, &context.image_quality)
            && self.hours.is_none_or(|hours| hours.contains(at_us))
    }

    /// How many things it asks for.
    #[must_use]
    pub fn conditions(&self) -> u32 {
        [
            self.service_tier.is_some(),
            self.region.is_some(),
            self.traffic_type.is_some(),
            self.image_size.is_some(),
            self.image_quality.is_some(),
            self.hours.is_some(),
        ]
        .into_iter()
        .map(u32::from)
        .fold(0, u32::saturating_add)
    }

    /// Whether one line could be meant by both.
    #[must_use]
    pub fn may_meet(&self, other: &Self) -> bool {
        let text = |own: &Option<String>, other: &Option<String>| match (own, other) {
            (Some(own), Some(other)) => own.eq_ignore_ascii_case(other),
            _ => true,
        };
        let tiers = self.service_tier.zip(other.service_tier).is_none_or(|(own, other)| own == other);
        let hours = self.hours.zip(other.hours).is_none_or(|(own, other)| own.overlaps(other));
        tiers
            && hours
            && text(&self.region, &other.region)
            && text(&self.traffic_type, &other.traffic_type)
            && text(&self.image_size, &other.image_size)
            && text(&self.image_quality, &other.image_quality)
    }
}

impl PriceTable {
    /// The variant for a line: of those that apply, the one that asks for most. None: the base alone.
    pub(super) fn variant(&self, context: &PricingContext, at_us: i64) -> Option<&Variant> {
        let applying = self.variants.iter().filter(|variant| variant.when.applies(context, at_us));
        applying.max_by_key(|variant| variant.when.conditions())
    }

    /// Whether the table has prices for the service tier of a line, under the variant that applies.
    pub(super) fn knows_tier(&self, context: &PricingContext, variant: Option<&Variant>) -> bool {
        match context.service_tier {
            None | Some(ServiceTier::Standard) => true,
            Some(tier) => {
                variant.is_some_and(|variant| variant.when.service_tier == Some(tier))
                    || self.fallback.standard_for.contains(&tier)
            }
        }
    }
}
