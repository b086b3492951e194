//! Where addresses are, from MaxMind DB files that the operator has: GeoLite2 or GeoIP2 City, ASN
//! and Anonymous IP, or others of the same shape.

use std::{net::IpAddr, path::Path};

use anyhow::{Context, Result};
use maxminddb::{Reader, geoip2};
use portcullis_threat::{Place, Places};
use portcullis_types::ClientAddr;

use crate::config::Config;

/// A file is at most this large.
const MAX_FILE_BYTES: u64 = 1024 * 1024 * 1024;
/// Without a radius of its own, a place is this exact, in kilometres.
const USUAL_RADIUS: u16 = 100;

/// The files, in memory.
#[derive(Default)]
pub struct Maps {
    city: Option<Reader<Vec<u8>>>,
    asn: Option<Reader<Vec<u8>>>,
    anonymous: Option<Reader<Vec<u8>>>,
}

impl Maps {
    /// Reads those that are configured.
    pub fn open(config: &Config) -> Result<Self> {
        let open = |path: &Option<std::path::PathBuf>| {
            path.as_ref().map(|path| read(&config.path(path))).transpose()
        };
        let files = &config.detect.maps;
        Ok(Self {
            city: open(&files.city)?,
            asn: open(&files.asn)?,
            anonymous: open(&files.anonymous)?,
        })
    }

    /// When each was built, in seconds since 1970, by what it is for.
    pub fn built(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = [("city", &self.city), ("asn", &self.asn), ("anonymous", &self.anonymous)];
        all.into_iter().filter_map(|(name, map)| {
            let map = map.as_ref()?;
            Some((name, map.metadata().build_epoch))
        })
    }
}

fn read(path: &Path) -> Result<Reader<Vec<u8>>> {
    let shown = path.display();
    let size = std::fs::metadata(path).with_context(|| format!("read {shown}"))?.len();
    anyhow::ensure!(size <= MAX_FILE_BYTES, "{shown} is larger than a gigabyte");
    let bytes = std::fs::read(path).with_context(|| format!("read {shown}"))?;
    let reader = Reader::from_source(bytes);
    let reader = reader.with_context(|| format!("{shown} is no MaxMind DB"))?;
    // A broken file is found now, and not when somebody logs in.
    reader.verify().with_context(|| format!("{shown} is damaged"))?;
    Ok(reader)
}

fn find<'a, T: serde::Deserialize<'a>>(map: &'a Option<Reader<Vec<u8>>>, ip: IpAddr) -> Option<T> {
    map.as_ref()?.lookup(ip).ok()?.decode().ok()?
}

impl Places for Maps {
    fn find(&self, addr: ClientAddr) -> Place {
        let ip = addr.ip();
        let city: Option<geoip2::City<'_>> = find(&self.city, ip);
        let asn: Option<geoip2::Asn<'_>> = find(&self.asn, ip);
        let known: Option<geoip2::AnonymousIp> = find(&self.anonymous, ip);
        let at = city.as_ref().and_then(|city| {
            let location = &city.location;
            let radius = location.accuracy_radius.unwrap_or(USUAL_RADIUS);
            Some((narrow(location.latitude?), narrow(location.longitude?), radius))
        });
        let country = city.as_ref().and_then(|city| city.country.iso_code);
        Place {
            country: country.and_then(|code| code.as_bytes().try_into().ok()),
            asn: asn.and_then(|asn| asn.autonomous_system_number),
            at,
            anywhere: known.is_some_and(|known| known.is_anonymous.unwrap_or(false)),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a metre is exact enough")]
fn narrow(degrees: f64) -> f32 {
    degrees as f32
}
