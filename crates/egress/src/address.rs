use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks of IPv4 that are not the Internet (IANA IPv4 Special-Purpose Address Registry), and
/// multicast.
const SPECIAL_V4: [([u8; 4], u8); 16] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 31, 196, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// Networks within 2000::/3 that are not the Internet, or that hide an IPv4 address.
const SPECIAL_V6: [(u128, u8); 5] = [
    // 2001::/23: protocol assignments, Teredo among them.
    (0x2001_0000 << 96, 23),
    // 2001:db8::/32: documentation.
    (0x2001_0db8 << 96, 32),
    // 2002::/16: 6to4.
    (0x2002_0000 << 96, 16),
    // 3fff::/20: documentation.
    (0x3fff_0000 << 96, 20),
    // 2620:4f:8000::/48: AS112.
    (0x2620_004f_8000 << 80, 48),
];

/// Whether an address is one of the public Internet. Whatever is not known to be is not.
pub fn is_public(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => is_public_v4(addr),
        IpAddr::V6(addr) => match addr.to_ipv4_mapped() {
            Some(mapped) => is_public_v4(mapped),
            None => is_public_v6(addr),
        },
    }
}

fn is_public_v4(addr: Ipv4Addr) -> bool {
    let bits = u32::from(addr);
    !SPECIAL_V4.iter().any(|(network, prefix)| {
        let mask = u32::MAX << (32 - u32::from(*prefix));
        bits & mask == u32::from_be_bytes(*network)
    })
}

fn is_public_v6(addr: Ipv6Addr) -> bool {
    let bits = u128::from(addr);
    let within = |network: u128, prefix: u8| bits & (u128::MAX << (128 - prefix)) == network;
    // Only 2000::/3 is given out.
    within(0x2000 << 112, 3)
        && !SPECIAL_V6.iter().any(|(network, prefix)| within(*network, *prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_internet_is_public() {
        for public in ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for inside in [
            "127.0.0.1",
            "127.255.255.254",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd12:3456::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2001::1",
            "100::1",
            "3fff::1",
            "::127.0.0.1",
            "fec0::1",
            "2620:4f:8000::1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
    }
}
