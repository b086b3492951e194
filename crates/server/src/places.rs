//! Where addresses are, from MaxMind DB files that the operator has: GeoLite2 or GeoIP2 City, ASN
//! and Anonymous IP, or others of the same shape; and from lists of Tor exits and data centres.

use std::{
    net::IpAddr,
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use maxminddb::{Reader, geoip2};
use portcullis_threat::{AddrList, Hidden, Place, Places};
use portcullis_types::ClientAddr;
use portcullis_verification::{AddressFacts, AddressSources, Addresses};

use crate::config::Config;

/// A file is at most this large.
const MAX_FILE_BYTES: u64 = 1024 * 1024 * 1024;
/// A list is at most this large.
const MAX_LIST_BYTES: u64 = 64 * 1024 * 1024;
/// Without a radius of its own, a place is this exact, in kilometres.
const USUAL_RADIUS: u16 = 100;

/// The files, in memory.
#[derive(Default)]
pub struct Maps {
    city: Option<Reader<Vec<u8>>>,
    asn: Option<Reader<Vec<u8>>>,
    anonymous: Option<Reader<Vec<u8>>>,
    tor: Option<List>,
    hosting: Option<List>,
}

/// A list, and when its file was changed last, in seconds since 1970.
struct List(AddrList, u64);

impl Maps {
    /// Reads those that are configured.
    pub fn open(config: &Config) -> Result<Self> {
        let open = |path: &Option<std::path::PathBuf>| {
            path.as_ref().map(|path| read(&config.path(path))).transpose()
        };
        let list = |path: &Option<std::path::PathBuf>| {
            path.as_ref().map(|path| read_list(&config.path(path))).transpose()
        };
        let files = &config.detect.maps;
        Ok(Self {
            city: open(&files.city)?,
            asn: open(&files.asn)?,
            anonymous: open(&files.anonymous)?,
            tor: list(&files.tor)?,
            hosting: list(&files.hosting)?,
        })
    }

    /// When each was built, in seconds since 1970, by what it is for; of a list, when its file was
    /// changed last.
    pub fn built(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = [("city", &self.city), ("asn", &self.asn), ("anonymous", &self.anonymous)];
        let maps = all.into_iter().filter_map(|(name, map)| {
            let map = map.as_ref()?;
            Some((name, map.metadata().build_epoch))
        });
        let lists = [("tor", &self.tor), ("hosting", &self.hosting)].into_iter();
        maps.chain(lists.filter_map(|(name, list)| Some((name, list.as_ref()?.1))))
    }
}

impl Maps {
    /// Whether an address is an exit of Tor, in a data centre, or a proxy; each is told by what tells it, whatever the
    /// others say.
    fn behind(&self, ip: IpAddr) -> (Option<bool>, Option<bool>, Option<bool>) {
        let known: Option<geoip2::AnonymousIp> = find(&self.anonymous, ip);
        let says = |what: fn(&geoip2::AnonymousIp) -> Option<bool>| {
            let said = || known.as_ref().and_then(what).unwrap_or(false);
            self.anonymous.as_ref().map(|_| said())
        };
        let on = |list: &Option<List>| list.as_ref().map(|list| list.0.contains(ip));
        let any = |flags: &[Option<bool>]| {
            let told: Vec<bool> = flags.iter().copied().flatten().collect();
            (!told.is_empty()).then(|| told.contains(&true))
        };
        let tor = any(&[on(&self.tor), says(|known| known.is_tor_exit_node)]);
        let hosting = any(&[on(&self.hosting), says(|known| known.is_hosting_provider)]);
        let named = any(&[
            says(|known| known.is_anonymous_vpn),
            says(|known| known.is_public_proxy),
            says(|known| known.is_residential_proxy),
        ]);
        // What is anonymous and nothing else is a proxy of some kind.
        let other = says(|known| known.is_anonymous)
            .map(|is_anonymous| is_anonymous && tor != Some(true) && hosting != Some(true));
        (tor, hosting, any(&[named, other]))
    }

    /// Behind what somebody at this address may be, whoever and wherever they are.
    fn hidden(&self, ip: IpAddr) -> Option<Hidden> {
        let known: Option<geoip2::AnonymousIp> = find(&self.anonymous, ip);
        let on = |list: &Option<List>| list.as_ref().is_some_and(|list| list.0.contains(ip));
        let says = |what: fn(&geoip2::AnonymousIp) -> Option<bool>| {
            known.as_ref().and_then(what).unwrap_or(false)
        };
        if on(&self.tor) || says(|known| known.is_tor_exit_node) {
            Some(Hidden::Tor)
        } else if on(&self.hosting) || says(|known| known.is_hosting_provider) {
            Some(Hidden::Hosting)
        } else {
            says(|known| known.is_anonymous).then_some(Hidden::Proxy)
        }
    }
}

/// For checks of identity verification: what each map knows of addresses just now.
pub fn addresses(maps: Arc<ArcSwap<Maps>>) -> Addresses {
    Arc::new(move |asked| {
        let maps = maps.load();
        let sources = AddressSources {
            built: maps.built().map(|(name, at)| (name.to_owned(), at)).collect(),
        };
        let facts = asked.iter().map(|ip| {
            let place = Places::find(&**maps, ClientAddr::new(*ip));
            let country = place.country.and_then(|code| String::from_utf8(code.to_vec()).ok());
            let (is_tor, is_hosting, is_proxy) = maps.behind(*ip);
            AddressFacts { country, asn: place.asn, is_tor, is_hosting, is_proxy }
        });
        let facts = facts.collect();
        (sources, facts)
    })
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

fn read_list(path: &Path) -> Result<List> {
    let shown = path.display();
    let about = std::fs::metadata(path).with_context(|| format!("read {shown}"))?;
    anyhow::ensure!(about.len() <= MAX_LIST_BYTES, "{shown} is larger than 64 MiB");
    let since = about.modified().unwrap_or(SystemTime::UNIX_EPOCH).duration_since(UNIX_EPOCH);
    let text = std::fs::read_to_string(path).with_context(|| format!("read {shown}"))?;
    let list = AddrList::read(&text).with_context(|| format!("{shown} is no list of addresses"))?;
    Ok(List(list, since.map_or(0, |since| since.as_secs())))
}

fn find<'a, T: serde::Deserialize<'a>>(map: &'a Option<Reader<Vec<u8>>>, ip: IpAddr) -> Option<T> {
    map.as_ref()?.lookup(ip).ok()?.decode().ok()?
}

impl Places for Maps {
    fn find(&self, addr: ClientAddr) -> Place {
        let ip = addr.ip();
        let city: Option<geoip2::City<'_>> = find(&self.city, ip);
        let asn: Option<geoip2::Asn<'_>> = find(&self.asn, ip);
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
            hidden: self.hidden(ip),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a metre is exact enough")]
fn narrow(degrees: f64) -> f32 {
    degrees as f32
}
