//! Routes of the two planes, extractors, one error mapping per dialect. Handlers extract, call one function, convert.

pub mod admin;
pub mod answers;
pub mod data;
pub mod errors;
mod usage_query;
