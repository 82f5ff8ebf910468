//! What amounts, decimals, ids and price tables look like in an OpenAPI document: mostly text of a known form.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{ObjectBuilder, Schema, Type},
    },
};

use crate::{
    decimal::Decimal,
    id::{BootId, CustomerId, KeyId, RequestId, TrainingRunId},
    money::NanoUsd,
    price::{BookRule, PriceTable},
};

macro_rules! text {
    ($($type:ident, $pattern:literal, $example:literal, $what:literal;)*) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .pattern(Some($pattern))
                    .examples([$example])
                    .description(Some($what))
                    .into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($type))
            }
        }
    )*};
}

text! {
    NanoUsd, "^-?[0-9]+(\\.[0-9]{1,9})?$", "0.000012300", "US dollars as decimal text, exact to the nano-dollar";
    Decimal, "^[0-9]+(\\.[0-9]{1,18})?$", "0.25", "A number of at least zero as decimal text, exact";
    RequestId, "^req_[0-9a-f]{32}$", "req_019ab3f46c8e7d5a9b1c2d3e4f506172", "A request";
    CustomerId, "^cus_[0-9a-f]{32}$", "cus_019ab3f46c8e7d5a9b1c2d3e4f506172", "A customer";
    KeyId, "^key_[0-9a-f]{32}$", "key_019ab3f46c8e7d5a9b1c2d3e4f506172", "A key";
    TrainingRunId, "^trn_[0-9a-f]{32}$", "trn_019ab3f46c8e7d5a9b1c2d3e4f506172", "A training run";
    BootId, "^boot_[0-9a-f]{32}$", "boot_019ab3f46c8e7d5a9b1c2d3e4f506172", "One life of a gateway process";
}

macro_rules! object {
    ($($type:ident, $what:literal;)*) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new().schema_type(Type::Object).description(Some($what)).into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($type))
            }
        }
    )*};
}

object! {
    PriceTable, "Prices of one model in one version, as price files have them";
    BookRule, "How a charge follows from a cost, as price files have it";
}
