//! What can be on a list, each in its usual form, so that two ways to write one thing are one entry.

use std::net::IpAddr;

use portcullis_documents::two_letters;
use portcullis_types::Prefix;
use serde::{Deserialize, Serialize};

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
    /// All there are. Faces are none of them: nothing here compares faces.
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
                    && !number.starts_with('0');
                if fits { Ok(digits) } else { Err("must be a number with +, E.164") }
            }
            Self::Email => {
                let value = value.to_lowercase();
                let parts = value.rsplit_once('@');
                let fits =
                    parts.is_some_and(|(local, host)| !local.is_empty() && host.contains('.'));
                if fits && !value.contains(char::is_whitespace) {
                    Ok(value)
                } else {
                    Err("must be an e-mail address")
                }
            }
            Self::IpAddress => {
                let must = "must be an address, or a network of at least 8 bits (IPv6: 16)";
                let prefix = match value.parse::<IpAddr>() {
                    Ok(ip) => Prefix::new(ip, u8::MAX),
                    Err(_) => Prefix::parse(value).ok_or(must)?,
                };
                let least = if prefix.ip().is_ipv4() { BITS_MIN.0 } else { BITS_MIN.1 };
                if prefix.length() >= least { Ok(prefix.to_string()) } else { Err(must) }
            }
            Self::WalletAddress => {
                let hex = value.strip_prefix("0x").or_else(|| value.strip_prefix("0X"));
                let is_hex = hex.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
                Ok(if is_hex { value.to_lowercase() } else { value.to_owned() })
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
            Self::Country => country(value).ok_or("must be a code of two or three letters"),
            Self::DeviceFingerprint | Self::User | Self::Key => Ok(value.to_owned()),
        }
    }

    /// Every form in which a value may be on a list.
    pub fn forms(self, value: &str) -> Vec<String> {
        let Ok(normal) = self.normal(value) else { return Vec::new() };
        let ip = match (self, value.trim().parse::<IpAddr>()) {
            (Self::IpAddress, Ok(ip)) => ip.to_canonical(),
            _ => return vec![normal],
        };
        let (least, most) = if ip.is_ipv4() { (BITS_MIN.0, 32) } else { (BITS_MIN.1, 128) };
        (least..=most).map(|bits| Prefix::new(ip, bits).to_string()).collect()
    }
}

/// Issuer and number of a document.
pub(super) fn document(issuer: &str, number: &str) -> Option<String> {
    let number: String = number.chars().filter(char::is_ascii_alphanumeric).collect();
    let issuer = country(issuer)?;
    (!number.is_empty()).then(|| format!("{issuer}:{}", number.to_uppercase()))
}

/// Two letters, where three stand for the same.
pub(super) fn country(code: &str) -> Option<String> {
    let code: String = code.chars().filter(|c| *c != '<').collect();
    let code = code.trim().to_uppercase();
    let fits = (1..=3).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_uppercase());
    fits.then(|| two_letters(&code).map_or(code.clone(), str::to_owned))
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
            (Email, &["Alice@Example.org", " alice@example.ORG "]),
            (IpAddress, &["192.0.2.1", "192.0.2.1/32"]),
            (IpAddress, &["2001:db8::1", "2001:0DB8:0:0::1/128"]),
            (IpAddress, &["192.0.2.7", "::ffff:192.0.2.7"]),
            (WalletAddress, &["0xAB12", "0xab12"]),
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
        let forms = ListKind::IpAddress.forms("198.51.100.7");
        assert_eq!(forms.len(), 25);
        for network in ["198.0.0.0/8", "198.51.100.0/24", "198.51.100.7"] {
            assert!(forms.contains(&ListKind::IpAddress.normal(network).unwrap()), "{network}");
        }
        assert_eq!(ListKind::IpAddress.forms("2001:db8::1").len(), 113);
        assert_eq!(ListKind::IpAddress.forms("198.51.100.0/24").len(), 1);
    }
}
