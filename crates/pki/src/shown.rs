//! What a certificate that we show says of itself, for people.

use portcullis_types::Timestamp;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use crate::{authority::serial_text, request::address};

/// The facts of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The serial number, hexadecimal.
    pub serial: String,
    /// DNS names and addresses.
    pub names: Vec<String>,
    /// When it ends.
    pub not_after: Timestamp,
}

impl Shown {
    /// Reads them from DER; nothing if it is none.
    pub fn read(certificate: &[u8]) -> Option<Self> {
        let (_, read) = X509Certificate::from_der(certificate).ok()?;
        let alternative = read.subject_alternative_name().ok().flatten();
        let names = alternative.iter().flat_map(|names| &names.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => Some(address(bytes)?.to_string()),
            _ => None,
        });
        Some(Self {
            serial: serial_text(read.raw_serial()),
            names: names.collect(),
            not_after: Timestamp::from_secs(read.validity().not_after.timestamp()),
        })
    }
}
