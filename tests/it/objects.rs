//! What customers keep at a provider: whose it is, and that batches are booked once whatever happens.

mod batches;
mod crash;
mod files;
mod messages;
mod responses;
mod scene;
