//! The candle worker: one model, served with exact usage. The gateway never links this crate, and this crate knows
//! nothing of money.

pub mod cli;
pub mod clock;
pub mod engine;
pub mod entropy;
pub mod http;
pub mod model;
pub mod sampling;
pub mod text;
pub mod train;
