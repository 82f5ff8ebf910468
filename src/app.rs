//! Composition root: builds everything, owns tasks, shuts down in reverse order.

pub mod files;
pub mod listener;
