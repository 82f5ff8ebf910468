//! What beside the model's name picks the price of a line: the tier that served, the region, the size of a picture.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// The class of service that served a request, as the answer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cbor(index_only)]
#[serde(rename_all = "snake_case")]
pub enum ServiceTier {
    /// The plain one.
    #[default]
    #[n(0)]
    Standard,
    /// Later, cheaper.
    #[n(1)]
    Flex,
    /// In a batch, cheaper.
    #[n(2)]
    Batch,
    /// Sooner, dearer.
    #[n(3)]
    Priority,
    /// Faster output, dearer.
    #[n(4)]
    Fast,
    /// One that this build has no word for: it has no price, whatever the others cost.
    #[n(5)]
    Other,
}

impl ServiceTier {
    /// The name in reports and price files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Flex => "flex",
            Self::Batch => "batch",
            Self::Priority => "priority",
            Self::Fast => "fast",
            Self::Other => "other",
        }
    }
}

/// What picks the price of one line beside its model and its time. What is not told is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PricingContext {
    /// The tier that served.
    #[n(0)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<ServiceTier>,
    /// Where inference ran, as the provider names it.
    #[n(1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Vertex AI: `PROVISIONED_THROUGHPUT` is not billed per token.
    #[n(2)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_type: Option<String>,
    /// Width and height of the pictures asked for, such as `1024x1024`.
    #[n(3)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<String>,
    /// Quality of the pictures asked for.
    #[n(4)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_quality: Option<String>,
    /// Pictures were made by a tool within the answer, so that its tokens are not theirs.
    #[n(5)]
    #[cbor(with = "crate::nil_default", has_nil)]
    #[serde(skip_serializing_if = "is_false")]
    pub images_by_tool: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl PricingContext {
    /// True when nothing was told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
