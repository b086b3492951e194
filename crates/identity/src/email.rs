use std::{fmt, str::FromStr};

use url::Host;

/// RFC 5321, section 4.5.3.1.1.
const MAX_LOCAL_BYTES: usize = 64;
/// RFC 5321, erratum 1690.
const MAX_BYTES: usize = 254;

/// A normalised e-mail address: lower case, the domain in its ASCII form.
///
/// The local part is a dot-atom (RFC 5322, section 3.2.3); quoted local parts and address literals
/// are refused, since no provider that people use needs them and mail headers are built from them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Email(String);

/// The text is not an e-mail address we can write to.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("must be an e-mail address such as name@example.org")]
pub struct EmailError;

impl Email {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads an address that was normalised before it was stored.
    pub(crate) fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl FromStr for Email {
    type Err = EmailError;

    fn from_str(text: &str) -> Result<Self, EmailError> {
        let text = text.trim_matches(' ');
        let (local, domain) = text.rsplit_once('@').ok_or(EmailError)?;
        let atom = |part: &str| !part.is_empty() && part.bytes().all(is_atom_byte);
        if local.len() > MAX_LOCAL_BYTES || !local.split('.').all(atom) {
            return Err(EmailError);
        }
        if domain.contains(['%', '[', ']', ':', '/']) {
            return Err(EmailError);
        }
        let Ok(Host::Domain(domain)) = Host::parse(domain) else {
            return Err(EmailError);
        };
        let labels = domain.split('.');
        let label = |label: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(plain)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if labels.clone().count() < 2 || !labels.clone().all(label) {
            return Err(EmailError);
        }
        let address = format!("{}@{domain}", local.to_ascii_lowercase());
        if address.len() > MAX_BYTES { Err(EmailError) } else { Ok(Self(address)) }
    }
}

fn is_atom_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_normalised() {
        let read = |text: &str| text.parse::<Email>().map(|email| email.0);
        assert_eq!(read(" Alice@EXAMPLE.org ").unwrap(), "alice@example.org");
        assert_eq!(read("a+b@bücher.example").unwrap(), "a+b@xn--bcher-kva.example");
    }

    #[test]
    fn hostile_and_malformed_addresses_are_refused() {
        for bad in [
            "",
            "a",
            "@b.c",
            "a@",
            "a@b",
            "a@@b.c",
            "a b@c.de",
            "a@b..c",
            ".a@b.c",
            "a.@b.c",
            "a@127.0.0.1",
            "a@[::1]",
            "\"a\"@b.c",
            "a\r\nBcc: x@y.z@b.c",
            "a@b.c\n",
            "a@-b.c",
            "a@b%2ec.d",
            "<a@b.c>",
            "a@b_c.d",
        ] {
            assert!(bad.parse::<Email>().is_err(), "{bad:?}");
        }
    }
}
