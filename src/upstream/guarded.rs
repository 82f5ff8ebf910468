//! Which addresses of an upstream may be dialled: not a private one, unless its provider allows that.

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

/// What is said of a name that leads to none that may be dialled.
pub(super) const PRIVATE: &str = "resolves to private addresses only";

/// Resolves names and leaves out private addresses, unless they are allowed.
#[derive(Clone)]
pub(super) struct Guarded {
    resolver: GaiResolver,
    allow_private: bool,
}

impl Guarded {
    /// A resolver of the system's; `allow_private` leaves nothing out.
    pub(super) fn new(allow_private: bool) -> Self {
        Self { resolver: GaiResolver::new(), allow_private }
    }
}

impl Service<Name> for Guarded {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.resolver.poll_ready(cx)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolving = self.resolver.call(name);
        let allow_private = self.allow_private;
        Box::pin(async move {
            let addresses: Vec<SocketAddr> =
                resolving.await?.filter(|address| allow_private || !is_private(address.ip())).collect();
            if addresses.is_empty() {
                return Err(std::io::Error::other(PRIVATE));
            }
            Ok(addresses.into_iter())
        })
    }
}

/// Whether an address is one that a public provider cannot have: private, loopback, link-local (cloud metadata),
/// carrier-grade NAT, unspecified, multicast, reserved; IPv4 inside IPv6 is judged as IPv4.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_private_v4(v4),
            None => is_private_v6(v6),
        },
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && address.octets()[2] == 0)
        || (a == 198 && (18..20).contains(&b))
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || (first & 0xfe00) == 0xfc00
        || (first & 0xffc0) == 0xfe80
        // NAT64 and 6to4 can lead to any IPv4 address.
        || (first == 0x64 && second == 0xff9b)
        || first == 0x2002
        || (first == 0x2001 && second == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_no_public_provider_has_are_private() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            assert!(is_private(text.parse().unwrap()), "{text}");
        }
        for text in ["1.1.1.1", "104.18.6.192", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(!is_private(text.parse().unwrap()), "{text}");
        }
    }
}
