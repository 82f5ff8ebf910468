//! Prices of batches for providers that publish one rule for all of their models: a batch costs half.

use tollgate_core::{
    decimal::Decimal,
    price::{PriceTable, Rates, Tier, Variant, When},
    pricing_context::ServiceTier,
};

/// A table with a variant for batches at half of its prices per token. Prices of other units stay. None when the table has variants
/// of its own, which could meet this one, or a half does not fit.
#[must_use]
pub fn with_batches_at_half(table: &PriceTable) -> Option<PriceTable> {
    if !table.variants.is_empty() {
        return None;
    }
    let tiers = table.tiers.iter().map(|tier| Some(Tier { usd_per_mtok: halves(&tier.usd_per_mtok)?, ..tier.clone() }));
    let batch = Variant {
        when: When { service_tier: Some(ServiceTier::Batch), ..When::default() },
        usd_per_mtok: halves(&table.usd_per_mtok)?,
        tiers: tiers.collect::<Option<Vec<_>>>()?,
        ..Variant::default()
    };
    Some(PriceTable { variants: vec![batch], ..table.clone() })
}

fn halves(rates: &Rates) -> Option<Rates> {
    rates.iter().map(|(rate, price)| Some((rate, half(price)?))).collect()
}

/// Exact: five times as many digits, one decimal more.
fn half(price: Decimal) -> Option<Decimal> {
    let digits = price.digits().checked_mul(5)?;
    Decimal::from_number(&format!("{digits}e-{}", price.scale().checked_add(1)?), 0).ok()
}

#[cfg(test)]
mod tests {
    use super::half;

    #[test]
    fn a_half_is_exact() {
        for (price, expected) in
            [("0", "0"), ("1", "0.5"), ("0.075", "0.0375"), ("150", "75"), ("0.000001", "0.0000005")]
        {
            assert_eq!(half(price.parse().unwrap()).unwrap().to_string(), expected, "{price}");
        }
        assert_eq!(half("0.000000000000000001".parse().unwrap()), None);
    }
}
