//! A map of prices by key, small and sorted: most tables have three or four of seventeen.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, Visitor},
    ser::SerializeMap,
};

use crate::decimal::Decimal;

/// A key of a map of prices.
pub trait PriceKey: Copy + Ord + 'static {
    /// All keys.
    const KEYS: &'static [Self];
    /// Its name in files.
    fn key(self) -> &'static str;
}

/// Some prices by key, ascending. A missing price is not zero; free is `"0"`, said explicitly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prices<K>(Box<[(K, Decimal)]>);

impl<K: PriceKey> Prices<K> {
    /// The price of exactly this key.
    #[must_use]
    pub fn get(&self, key: K) -> Option<Decimal> {
        self.0.iter().find(|(own, _)| *own == key).map(|(_, price)| *price)
    }

    /// All, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (K, Decimal)> + '_ {
        self.0.iter().copied()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K> Default for Prices<K> {
    fn default() -> Self {
        Self(Box::default())
    }
}

/// Of two prices of one key the last is kept.
impl<K: PriceKey> FromIterator<(K, Decimal)> for Prices<K> {
    fn from_iter<I: IntoIterator<Item = (K, Decimal)>>(prices: I) -> Self {
        let sorted: BTreeMap<K, Decimal> = prices.into_iter().collect();
        Self(sorted.into_iter().collect())
    }
}

impl<K: PriceKey> Serialize for Prices<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, price) in self.iter() {
            map.serialize_entry(key.key(), &price)?;
        }
        map.end()
    }
}

impl<'de, K: PriceKey> Deserialize<'de> for Prices<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PricesVisitor(PhantomData))
    }
}

struct PricesVisitor<K>(PhantomData<K>);

impl<'de, K: PriceKey> Visitor<'de> for PricesVisitor<K> {
    type Value = Prices<K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("prices by name, such as { input = \"0.10\", output = \"0.40\" }")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut prices = Vec::new();
        // Earlier builds wrote prices that were not there as null.
        while let Some((name, price)) = map.next_entry::<String, Option<Decimal>>()? {
            let key = K::KEYS.iter().copied().find(|key| key.key() == name);
            let key = key.ok_or_else(|| A::Error::custom(format!("there is no price of {name}")))?;
            prices.extend(price.map(|price| (key, price)));
        }
        Ok(prices.into_iter().collect())
    }
}
