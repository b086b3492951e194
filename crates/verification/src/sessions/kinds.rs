//! What can be on a list, each in its usual form, so that two ways to write one thing are one entry.

use std::net::IpAddr;

use portcullis_documents::{is_two_letters, two_letters};
use portcullis_types::Prefix;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// Bytes of a value.
const VALUE_MAX_BYTES: usize = 256;
/// Networks with fewer bits are no entry: they would be everybody.
const BITS_MIN: (u8, u8) = (8, 16);

/// What something on a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListKind {
    /// Issuer and number, `DEU:C01X00T47`.
    Document,
    /// E.164, `+49301234567`.
    Phone,
    /// An address.
    Email,
    /// An address or a network.
    IpAddress,
    /// Whatever tells devices apart.
    DeviceFingerprint,
    /// Of a ledger.
    WalletAddress,
    /// An IBAN, or another number.
    BankAccount,
    /// As whoever begins sessions calls people.
    User,
    /// A name or a number in a register.
    Business,
    /// ISO 3166-1 with two or three letters, or what ICAO 9303-3 has besides.
    Country,
    /// Whatever else.
    Key,
}

impl ListKind {
    /// All there are that are written down. Faces are on lists as well, and come as pictures.
    pub const ALL: [Self; 11] = [
        Self::Document,
        Self::Phone,
        Self::Email,
        Self::IpAddress,
        Self::DeviceFingerprint,
        Self::WalletAddress,
        Self::BankAccount,
        Self::User,
        Self::Business,
        Self::Country,
        Self::Key,
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Phone => "phone",
            Self::Email => "email",
            Self::IpAddress => "ip_address",
            Self::DeviceFingerprint => "device_fingerprint",
            Self::WalletAddress => "wallet_address",
            Self::BankAccount => "bank_account",
            Self::User => "user",
            Self::Business => "business",
            Self::Country => "country",
            Self::Key => "key",
        }
    }

    /// From how it is written.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The usual form of a value, or what it must be.
    pub fn normal(self, value: &str) -> Result<String, &'static str> {
        // However letters are put together, and whatever nobody sees between them.
        let value: String = value.nfkc().filter(|char| !is_unseen(*char)).collect();
        let value = value.trim();
        if value.is_empty() || value.len() > VALUE_MAX_BYTES || value.chars().any(char::is_control)
        {
            return Err("must be 1 to 256 bytes of text");
        }
        match self {
            Self::Document => {
                let must = "must be the issuer with three letters, a colon and the number";
                let (issuer, number) = value.split_once(':').ok_or(must)?;
                document(issuer, number).ok_or(must)
            }
            Self::Phone => {
                let digits: String = value.chars().filter(|c| !" -()./".contains(*c)).collect();
                let number = digits.strip_prefix('+').unwrap_or_default();
                let fits = (7..=15).contains(&number.len())
                    && number.bytes().all(|digit| digit.is_ascii_digit())
                    && !number.starts_with('0')
                    // A zero that is dialled within a country is none of the number.
                    && !value.contains("(0)");
                // A zero that is dialled within a country only is none of the number.
                let plan = portcullis_phone::Phone::read(&digits, None).map(|phone| phone.number);
                if fits {
                    Ok(plan.unwrap_or(digits))
                } else {
                    Err("must be a number with +, E.164")
                }
            }
            Self::Email => {
                let must = "must be an e-mail address with plain letters before the @";
                let (local, host) = value.rsplit_once('@').ok_or(must)?;
                let plain =
                    |byte: u8| byte.is_ascii_graphic() && !b"\"@\\(),:;<>[]".contains(&byte);
                let local_fits = !local.is_empty() && local.bytes().all(plain);
                // IDNA: in whatever letters a domain is written, it is one.
                let host = match url::Host::parse(host.trim_end_matches('.')) {
                    Ok(url::Host::Domain(host)) if host.contains('.') => host,
                    _ => return Err(must),
                };
                if local_fits { Ok(format!("{}@{host}", local.to_lowercase())) } else { Err(must) }
            }
            Self::IpAddress => {
                let must = "must be an address, or a network of at least 8 bits (IPv6: 16)";
                let (ip, length) = network(value).ok_or(must)?;
                let least = if ip.is_ipv4() { BITS_MIN.0 } else { BITS_MIN.1 };
                let prefix = Prefix::new(ip, length);
                if length >= least && prefix.ip() == ip {
                    Ok(prefix.to_string())
                } else {
                    Err(must)
                }
            }
            Self::WalletAddress => {
                let hex = value.strip_prefix("0x").or_else(|| value.strip_prefix("0X"));
                let is_hex = hex.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
                // Bech32 is written in small letters, and in capital ones for pictures.
                let is_loud = value.bytes().all(|byte| !byte.is_ascii_lowercase());
                Ok(if is_hex || is_loud { value.to_lowercase() } else { value.to_owned() })
            }
            Self::BankAccount => {
                let number: String = value.chars().filter(|c| !" -".contains(*c)).collect();
                let number = number.to_uppercase();
                let fits = (4..=34).contains(&number.len())
                    && number.bytes().all(|byte| byte.is_ascii_alphanumeric());
                if fits { Ok(number) } else { Err("must be an IBAN or a number of 4 to 34 digits") }
            }
            Self::Business => {
                let words = value.to_lowercase();
                let words = words.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty());
                let name = words.collect::<Vec<_>>().join(" ");
                if name.is_empty() { Err("must have letters or digits") } else { Ok(name) }
            }
            Self::Country => country(value).ok_or("must be a code of a country or state"),
            Self::DeviceFingerprint | Self::User | Self::Key => Ok(value.to_owned()),
        }
    }

    /// The form in which a value is on a list: an address of IPv6 alone stands for its /64, since nobody has less.
    pub fn entry(self, value: &str) -> Result<String, &'static str> {
        let normal = self.normal(value)?;
        match (self, normal.strip_suffix("/128")) {
            (Self::IpAddress, Some(ip)) if !value.contains('/') => {
                Ok(Prefix::parse(ip).map_or(normal.clone(), |prefix| prefix.to_string()))
            }
            _ => Ok(normal),
        }
    }

    /// Every form in which a value may be on a list: addresses and networks in all networks they are in.
    pub fn forms(self, value: &str) -> Vec<String> {
        let Ok(normal) = self.normal(value) else { return Vec::new() };
        let Some((ip, length)) = network(&normal).filter(|_| self == Self::IpAddress) else {
            return vec![normal];
        };
        let least = if ip.is_ipv4() { BITS_MIN.0 } else { BITS_MIN.1 };
        (least..=length).map(|bits| Prefix::new(ip, bits).to_string()).collect()
    }
}

/// Nothing of it is seen: joiners, marks of direction, soft hyphens.
fn is_unseen(char: char) -> bool {
    matches!(
        char,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// An address and how many of its bits count.
fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, length) = match text.split_once('/') {
        Some((ip, length)) => (ip, Some(length.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let ip = ip.parse::<IpAddr>().ok()?.to_canonical();
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let length = length.unwrap_or(most);
    (length <= most).then_some((ip, length))
}

/// Issuer and number of a document; `None` if the one is not known or the other has letters that documents have not.
pub(super) fn document(issuer: &str, number: &str) -> Option<String> {
    let number: String = number.chars().filter(|char| !" -./<".contains(*char)).collect();
    let issuer = country(issuer)?;
    let fits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then(|| format!("{issuer}:{}", number.to_uppercase()))
}

/// Two letters, whichever of the codes somebody has; `None` if nobody has it.
pub(super) fn country(code: &str) -> Option<String> {
    let code: String = code.chars().filter(|c| *c != '<').collect();
    let code = code.trim().to_uppercase();
    let two = match &code[..] {
        "UK" => "GB",
        "XK" | "XKX" | "RKS" => "XK",
        code if code.len() == 2 => return is_two_letters(code).then(|| code.to_owned()),
        code => two_letters(code)?,
    };
    Some(two.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_written_the_same() {
        use ListKind::*;
        for (kind, ways) in [
            (Document, &["D:C01X00T47", "deu:c01x-00t47", " DE:C01X00T47<< "][..]),
            (Phone, &["+49 30 123-4567", "+4930/1234567", "+49(30)1234567"]),
            (Phone, &["+49 1512 3456789", "+49015123456789"]),
            (Email, &["Alice@Example.org", " alice@example.ORG "]),
            (IpAddress, &["192.0.2.1", "192.0.2.1/32"]),
            (IpAddress, &["2001:db8::1", "2001:0DB8:0:0::1/128"]),
            (IpAddress, &["192.0.2.7", "::ffff:192.0.2.7"]),
            (WalletAddress, &["0xAB12", "0xab12"]),
            (WalletAddress, &["bc1qar0srrr7", "BC1QAR0SRRR7"]),
            (Email, &["a@müller.example", "a@xn--mller-kva.example", "A@MÜLLER.example."]),
            (
                Email,
                &["alice@example.org", "ali\u{200b}ce@exa\u{ad}mple.org", "ａlice@example.org"],
            ),
            (Business, &["Caf\u{e9} Ltd", "Cafe\u{301} LTD"]),
            (Country, &["GBR", "UK", "gb"]),
            (Country, &["XK", "RKS", "XKX"]),
            (BankAccount, &["DE89 3704 0044 0532 0130 00", "de89370400440532013000"]),
            (Business, &["ACME, Ltd.", "acme ltd", "Acme -- LTD"]),
            (Country, &["DEU", "de", "D<<"]),
        ] {
            let forms: Vec<_> = ways.iter().map(|way| kind.normal(way).unwrap()).collect();
            assert!(forms.iter().all(|form| *form == forms[0]), "{forms:?}");
        }
        assert_ne!(WalletAddress.normal("bc1QX").unwrap(), WalletAddress.normal("bc1qx").unwrap());
        assert_ne!(Key.normal("A").unwrap(), Key.normal("a").unwrap());
    }

    #[test]
    fn what_is_none_is_refused() {
        use ListKind::*;
        for (kind, value) in [
            (Document, "C01X00T47"),
            (Document, "DEU:"),
            (Document, "DEUTSCH:1"),
            (Phone, "030 1234567"),
            (Phone, "+4930x"),
            (Phone, "+49 (0)30 1234567"),
            (Email, "\"a b\"@example.org"),
            (Email, "älice@example.org"),
            (Document, "DEU:Ñ123"),
            (Document, "Germany:123"),
            (Country, "ZZ"),
            (Phone, "+0123456789"),
            (Email, "alice"),
            (Email, "a b@example.org"),
            (IpAddress, "192.0.2.300"),
            (IpAddress, "0.0.0.0/0"),
            (IpAddress, "198.51.100.7/24"),
            (IpAddress, "2000::/3"),
            (BankAccount, "DE€"),
            (Business, "--"),
            (Country, "GERMANY"),
            (Key, ""),
            (Key, "a\u{7}"),
        ] {
            assert!(kind.normal(value).is_err(), "{kind:?} {value}");
        }
        assert!(Key.normal(&"x".repeat(257)).is_err());
        for kind in ListKind::ALL {
            assert_eq!(ListKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(ListKind::parse("face"), None);
    }

    #[test]
    fn an_address_is_in_its_networks() {
        let ip = ListKind::IpAddress;
        // As they are kept, and as they were written.
        for (address, networks, count) in [
            ("198.51.100.7", &["198.0.0.0/8", "198.51.100.0/24", "198.51.100.7"][..], 25),
            ("::ffff:198.51.100.7", &["198.51.100.0/24"], 25),
            ("198.51.100.0/25", &["198.51.100.0/24"], 18),
            ("2001:db8:1:2::5", &["2001:db8::/32", "2001:db8:1::/48", "2001:db8:1:2::9"], 113),
            ("2001:db8:1:2::/64", &["2001:db8:1::/48"], 49),
        ] {
            for written in [address.to_owned(), ip.normal(address).unwrap()] {
                let forms = ip.forms(&written);
                assert_eq!(forms.len(), count, "{written}");
                for network in networks {
                    assert!(forms.contains(&ip.entry(network).unwrap()), "{written} {network}");
                }
            }
        }
        assert!(!ip.forms("198.51.100.0/24").contains(&ip.entry("198.51.100.0/25").unwrap()));
    }
}
