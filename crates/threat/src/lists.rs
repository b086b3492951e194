//! Lists of addresses that anybody may come from: Tor exits, data centres. Text files, an address or
//! network to a line, as they are published: `#` and `;` begin comments, what follows a comma or blank
//! is not looked at, and the lines of Tor's own exit list are understood.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Lines of Tor's exit list that name no address.
const TOR_WORDS: [&str; 4] = ["ExitNode", "Published", "LastStatus", "@type"];

/// Addresses, each in one step.
#[derive(Debug)]
pub struct AddrList {
    /// First and last address of ranges that do not touch, in order. IPv4 is mapped into IPv6.
    ranges: Vec<(u128, u128)>,
}

/// A line that names no address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {0}: neither an address nor a network")]
pub struct BadLine(usize);

impl AddrList {
    /// Reads a list, as a whole or not at all.
    pub fn read(text: &str) -> Result<Self, BadLine> {
        Ok(Self { ranges: ranges(text)? })
    }

    /// Whether an address is on it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = number(ip);
        let after = self.ranges.partition_point(|(first, _)| *first <= ip);
        after.checked_sub(1).is_some_and(|at| self.ranges[at].1 >= ip)
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

fn ranges(text: &str) -> Result<Vec<(u128, u128)>, BadLine> {
    let mut found = Vec::new();
    for (place, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split([',', ' ', '\t']).filter(|word| !word.is_empty());
        let word = match words.next() {
            None => continue,
            Some(word) if TOR_WORDS.contains(&word) => continue,
            Some("ExitAddress") => words.next().unwrap_or_default(),
            Some(word) => word,
        };
        found.push(range(word).ok_or(BadLine(place + 1))?);
    }
    found.sort_unstable();
    let mut merged: Vec<(u128, u128)> = Vec::with_capacity(found.len());
    for (first, last) in found {
        match merged.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    Ok(merged)
}

/// `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/32`. Bits beyond the length do not matter.
fn range(text: &str) -> Option<(u128, u128)> {
    let (ip, length) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
    let ip: IpAddr = ip.parse().ok()?;
    let most: u32 = if ip.is_ipv4() { 32 } else { 128 };
    let length = match length {
        Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => bits.parse().ok()?,
        Some(_) => return None,
        None => most,
    };
    let free = most.checked_sub(length)?;
    let rest = u128::MAX.checked_shr(128 - free).unwrap_or(0);
    let first = number(match ip {
        IpAddr::V4(ip) => {
            let kept = u32::MAX.checked_shl(free).unwrap_or(0);
            Ipv4Addr::from(u32::from(ip) & kept).into()
        }
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) & !rest).into(),
    });
    Some((first, first | rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_forms_are_read() {
        let text = "# exits\r\nExitNode ABC\nPublished 2026-01-01 00:00:00\nExitAddress 192.0.2.7 \
                    2026-01-01 00:00:00\n\n198.51.100.0/25, AS64500 ; a host\n198.51.100.128/25\n\
                    2001:db8:1::/48\n203.0.113.77/31\n0.0.0.0/8\n::1";
        let list = AddrList::read(text).unwrap();
        for (ip, on) in [
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("198.51.100.0", true),
            ("198.51.100.255", true),
            ("198.51.101.0", false),
            ("203.0.113.76", true),
            ("203.0.113.78", false),
            ("2001:db8:1:ffff::9", true),
            ("2001:db8:2::", false),
            ("0.255.255.255", true),
            ("1.0.0.0", false),
            ("::1", true),
            ("::2", false),
        ] {
            assert_eq!(list.contains(ip.parse().unwrap()), on, "{ip}");
        }
        // Two halves are one whole.
        assert_eq!(list.ranges.len(), 6);
    }

    #[test]
    fn what_is_no_list_is_refused_with_the_line() {
        for bad in ["1.2.3", "a\n", "1.2.3.4/33", "1.2.3.4/", "::/129", "1.2.3.4/-1", "<html>"] {
            let error = AddrList::read(&format!("192.0.2.1\n{bad}")).unwrap_err();
            assert_eq!(error, BadLine(2), "{bad}");
        }
        assert!(!AddrList::read("").unwrap().contains("192.0.2.1".parse().unwrap()));
        assert!(AddrList::read("0.0.0.0/0\n::/0").unwrap().contains("8.8.8.8".parse().unwrap()));
    }
}
