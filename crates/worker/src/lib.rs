//! The candle worker: one model, served with exact usage. The gateway never links this crate.
