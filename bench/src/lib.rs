//! What the tools of `make bench` share: reading HTTP/1.1 messages off a socket with as little work as possible.

pub mod wire;
