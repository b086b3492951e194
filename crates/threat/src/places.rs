//! Where addresses are, as far as somebody knows.

use portcullis_types::ClientAddr;

/// What is known of an address.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Place {
    /// ISO 3166-1 alpha-2, as two letters.
    pub country: Option<[u8; 2]>,
    /// The autonomous system.
    pub asn: Option<u32>,
    /// Latitude and longitude in degrees, and how far off they may be in kilometres.
    pub at: Option<(f32, f32, u16)>,
    /// What whoever it is may be behind, anywhere.
    pub hidden: Option<Hidden>,
}

/// What hides where somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    /// A proxy or VPN.
    Proxy,
    /// A machine in a data centre.
    Hosting,
    /// An exit of the Tor network.
    Tor,
}

/// Looks addresses up. It is asked for each login, so it must be quick and must not wait.
pub trait Places {
    /// What is known of `addr`.
    fn find(&self, addr: ClientAddr) -> Place;
}

/// Nothing is known of any address.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nowhere;

impl Places for Nowhere {
    fn find(&self, _: ClientAddr) -> Place {
        Place::default()
    }
}

/// The great-circle distance in kilometres, by the haversine formula.
pub(crate) fn distance(a: (f32, f32), b: (f32, f32)) -> f64 {
    const EARTH_RADIUS_KM: f64 = 6_371.0;
    let radians =
        |(lat, lon): (f32, f32)| (f64::from(lat).to_radians(), f64::from(lon).to_radians());
    let ((lat_a, lon_a), (lat_b, lon_b)) = (radians(a), radians(b));
    let half = |angle: f64| (angle / 2.0).sin().powi(2);
    let h = half(lat_b - lat_a) + lat_a.cos() * lat_b.cos() * half(lon_b - lon_a);
    2.0 * EARTH_RADIUS_KM * h.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_globe() {
        let (berlin, sydney) = ((52.52, 13.405), (-33.87, 151.21));
        assert!((distance(berlin, sydney) - 16_090.0).abs() < 50.0);
        assert!(distance(berlin, berlin) < 0.001);
    }
}
