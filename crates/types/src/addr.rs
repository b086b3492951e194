use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Serialize, Serializer};

/// The address a request came from, with IPv4 inside IPv6 taken out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientAddr(IpAddr);

/// What one household or host can vary freely: an IPv4 address or an IPv6 /64.
///
/// Limits and blocks use this, because an attacker with one IPv6 line owns 2^64 addresses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddrKey(IpAddr);

impl ClientAddr {
    /// Canonical form of `ip`: `::ffff:192.0.2.1` is `192.0.2.1`.
    pub fn new(ip: IpAddr) -> Self {
        Self(ip.to_canonical())
    }

    /// The address.
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// What limits and blocks count by.
    pub fn key(self) -> AddrKey {
        match self.0 {
            IpAddr::V4(_) => AddrKey(self.0),
            IpAddr::V6(ip) => {
                let network = u128::from(ip) & (u128::MAX << 64);
                AddrKey(IpAddr::V6(Ipv6Addr::from(network)))
            }
        }
    }
}

impl AddrKey {
    /// Reads `192.0.2.1`, `2001:db8::1` or `2001:db8::/64`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let key = ClientAddr::new(address.parse().ok()?).key();
        let own = if key.0.is_ipv4() { "32" } else { "64" };
        length.is_none_or(|length| length == own).then_some(key)
    }

    /// Sixteen bytes that identify the key; IPv4 in its mapped form.
    pub fn octets(self) -> [u8; 16] {
        match self.0 {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        }
    }
}

/// A network: an address and how many of its leading bits count. The rest are zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    ip: IpAddr,
    length: u8,
}

impl Prefix {
    /// The network of `length` bits around `ip`; more bits than there are count as all.
    pub fn new(ip: IpAddr, length: u8) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let length = length.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                Self { ip: Ipv4Addr::from(u32::from(ip) & mask).into(), length }
            }
            IpAddr::V6(ip) => {
                let length = length.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                Self { ip: Ipv6Addr::from(u128::from(ip) & mask).into(), length }
            }
        }
    }

    /// Reads `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/48`. An IPv6 address alone is its /64, since
    /// nobody owns less. `None` for anything else, bits beyond the length included.
    pub fn parse(text: &str) -> Option<Self> {
        let Some((ip, length)) = text.split_once('/') else {
            return Some(ClientAddr::new(text.parse().ok()?).key().into());
        };
        let plain = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
        let length: u8 = length.parse().ok().filter(|_| plain)?;
        let ip: IpAddr = ip.parse().ok()?;
        let prefix = Self::new(ip, length);
        (prefix.ip == ip && prefix.length == length).then_some(prefix)
    }

    /// The first address of it.
    pub fn ip(self) -> IpAddr {
        self.ip
    }

    /// How many leading bits count.
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether `addr` is in it.
    pub fn contains(self, addr: ClientAddr) -> bool {
        self.ip.is_ipv4() == addr.0.is_ipv4() && Self::new(addr.0, self.length) == self
    }

    /// Seventeen bytes that identify it.
    pub fn octets(self) -> [u8; 17] {
        let mut all = [0; 17];
        all[..16].copy_from_slice(&match self.ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        });
        all[16] = self.length;
        all
    }
}

impl From<AddrKey> for Prefix {
    fn from(key: AddrKey) -> Self {
        Self::new(key.0, if key.0.is_ipv4() { 32 } else { 64 })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ip, self.length) {
            (IpAddr::V4(ip), 32) => ip.fmt(f),
            (ip, length) => write!(f, "{ip}/{length}"),
        }
    }
}
impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<IpAddr> for ClientAddr {
    fn from(ip: IpAddr) -> Self {
        Self::new(ip)
    }
}

impl Default for ClientAddr {
    fn default() -> Self {
        Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

impl fmt::Display for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl fmt::Debug for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl Serialize for ClientAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for AddrKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => ip.fmt(f),
            IpAddr::V6(ip) => write!(f, "{ip}/64"),
        }
    }
}
impl fmt::Debug for AddrKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> AddrKey {
        ClientAddr::new(text.parse().unwrap()).key()
    }

    #[test]
    fn ipv6_suffixes_and_mapped_ipv4_share_a_key() {
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.7"), key("192.0.2.7"));
    }

    #[test]
    fn prefixes_are_masked_read_and_written() {
        for text in ["192.0.2.7", "192.0.2.0/24", "0.0.0.0/0", "2001:db8::/48", "::/0"] {
            assert_eq!(Prefix::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Prefix::parse("2001:db8::5").unwrap().to_string(), "2001:db8::/64");
        for bad in ["", "192.0.2.1/24", "192.0.2.0/33", "x/8", "192.0.2.0/", "192.0.2.0/+24"] {
            assert_eq!(Prefix::parse(bad), None, "{bad}");
        }
        let net = Prefix::parse("192.0.2.0/24").unwrap();
        let addr = |text: &str| ClientAddr::new(text.parse().unwrap());
        assert!(net.contains(addr("192.0.2.255")) && !net.contains(addr("192.0.3.0")));
        assert!(!Prefix::parse("::/0").unwrap().contains(addr("192.0.2.1")));
    }

    #[test]
    fn keys_round_trip_as_text() {
        for text in ["192.0.2.7", "2001:db8:1:2::/64"] {
            assert_eq!(AddrKey::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(AddrKey::parse("2001:db8::5").unwrap().to_string(), "2001:db8::/64");
        for bad in ["", "192.0.2.0/24", "2001:db8::/48", "x", "192.0.2.7/"] {
            assert_eq!(AddrKey::parse(bad), None, "{bad}");
        }
    }
}
