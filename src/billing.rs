//! Statements per customer and month, and the audit that recomputes the books from entries.

pub mod audit;
mod named;
pub mod rerate;
pub mod statement;
