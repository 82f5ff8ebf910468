//! What the tools of `make bench` share: reading HTTP/1.1 messages off a socket with as little work as possible, and records that are
//! on the disk.

pub mod synced;
pub mod wire;
