//! What gateways on one store must agree on: who is who, and which prices are in force.

pub mod lease;
pub mod prices;
