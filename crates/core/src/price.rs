//! Prices of usage: what a table says, which of it applies, and what a line comes to. Exact, rounded once per line, half
//! to even, to a nano-dollar.
//!
//! What was used and has no price is *unpriced*, a state of its own; it is never zero and never guessed.

mod charge;
mod entry;
mod line;
mod parts;
mod places;
mod prices;
mod rate;
mod select;
mod sum;
mod table;
mod unit;

pub use self::{
    charge::{Charge, ChargeLine, Item, PriceError, Query, Unpriced, price},
    entry::{PricedLine, Terms, price_entry},
    line::{BookRule, CostBasis, charge, price_line},
    places::{Asked, Place},
    prices::{PriceKey, Prices},
    rate::{Rate, Rates},
    select::{Hours, When},
    table::{Fallback, PriceTable, Tier, TierApplies, Variant},
    unit::{Unit, UnitPrices},
};
