//! People who may: where they are, what they use, how they mistype, forget, travel and buy phones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portcullis_threat::{Place, Places};
use portcullis_types::ClientAddr;

use crate::{
    chance::Chance,
    script::{From, Script, Truth, nobody, person},
};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Offices behind one address each, with so many people.
const OFFICES: [u64; 8] = [20, 40, 60, 100, 150, 250, 400, 500];
/// Carriers that share few addresses among all their customers.
const CARRIERS: u64 = 4;
const CARRIER_ADDRESSES: u64 = 16;

/// How large it is.
#[derive(Debug, Clone, Copy)]
pub struct World {
    /// People with an account.
    pub people: u64,
    /// Days.
    pub days: u64,
}

/// Where everybody is: 10.x.0.0 is country x, as are 2001:db8:x::/48.
#[derive(Debug, Clone, Copy, Default)]
pub struct Map;

/// Latitude and longitude of the countries there are.
const COUNTRIES: [([u8; 2], (f32, f32)); 8] = [
    (*b"DE", (52.5, 13.4)),
    (*b"FR", (48.9, 2.3)),
    (*b"ES", (40.4, -3.7)),
    (*b"US", (40.7, -74.0)),
    (*b"JP", (35.7, 139.7)),
    (*b"AU", (-33.9, 151.2)),
    (*b"BR", (-23.5, -46.6)),
    (*b"ZA", (-26.2, 28.0)),
];

impl Places for Map {
    fn find(&self, addr: ClientAddr) -> Place {
        let (number, part) = match addr.ip() {
            IpAddr::V4(ip) => (usize::from(ip.octets()[1]) / 32, u32::from(ip.octets()[1])),
            IpAddr::V6(ip) => (usize::from(ip.segments()[2]) % 8, u32::from(ip.segments()[2])),
        };
        let (country, (lat, lon)) = COUNTRIES[number % COUNTRIES.len()];
        Place { country: Some(country), asn: Some(part), at: Some((lat, lon, 50)), hidden: None }
    }
}

/// An IPv4 address of a country; `net` chooses the provider.
pub fn v4(country: u64, net: u64, host: u64) -> IpAddr {
    let second = u8::try_from(country % 8 * 32 + net % 32).unwrap_or(0);
    let [.., a, b] = u64::to_be_bytes(host);
    Ipv4Addr::new(10, second, a, b).into()
}

/// An IPv6 address of a country, in the /64 with the number `line`.
pub fn v6(country: u64, line: u64, host: u64) -> IpAddr {
    let line = u16::try_from(line & 0xffff).unwrap_or(0);
    let segment = u16::try_from(country % 8).unwrap_or(0);
    Ipv6Addr::from(
        u128::from(Ipv6Addr::new(0x2001, 0xdb8, segment, line, 0, 0, 0, 0)) | u128::from(host),
    )
    .into()
}

/// The browser with this number.
pub fn browser(number: u64) -> String {
    let names = ["Firefox", "Chrome", "Safari", "Edge"];
    let name = names[usize::try_from(number).unwrap_or(0) % names.len()];
    format!("Mozilla/5.0 {name}/{}", 100 + number % 37)
}

/// Where somebody is at this moment.
fn place(world: World, chance: &Chance, who: u64) -> From {
    let country = who % 3;
    let office = office_of(who);
    let own = browser(who);
    match chance.below(10) {
        0..=3 if office.is_some() => {
            let office = office.unwrap_or(0);
            From { ip: v4(country_of_office(office), 31, 256 + office), agent: own }
        }
        // A phone, behind its carrier.
        4..=6 => {
            let carrier = who % CARRIERS;
            let host = carrier * 1_000 + chance.below(CARRIER_ADDRESSES);
            From { ip: v4(country, 30, host), agent: browser(who + 1) }
        }
        _ if who.is_multiple_of(2) => From { ip: v4(country, who % 20, who % 65_000), agent: own },
        _ => {
            // A home line has a /56, of which a computer uses one /64.
            let line = who % (world.people.max(1)) % 60_000;
            From { ip: v6(country, line, chance.next()), agent: own }
        }
    }
}

fn country_of_office(office: u64) -> u64 {
    office % 3
}

/// The first people work in offices, each in one of their country.
fn office_of(who: u64) -> Option<u64> {
    let mut first = 0;
    for (office, people) in (0..).zip(OFFICES) {
        if (first..first + people * 3).contains(&who) {
            return (who % 3 == country_of_office(office)).then_some(office);
        }
        first += people * 3;
    }
    None
}

/// The address of the largest office.
pub fn largest_office() -> From {
    let office = OFFICES.len() as u64 - 1;
    From { ip: v4(country_of_office(office), 31, 256 + office), agent: browser(3) }
}

/// The addresses of all offices.
pub fn offices() -> Vec<IpAddr> {
    (0..OFFICES.len() as u64)
        .map(|office| v4(country_of_office(office), 31, 256 + office))
        .collect()
}

/// Everything that people who may do, who log in twice a day and then use a service.
pub fn good_people(world: World, chance: &Chance, script: &mut Script) {
    for who in (0..world.people).filter(|who| !travels(*who)) {
        let mut at = chance.below(DAY / 2);
        while at < world.days * DAY {
            visit(world, chance, script, who, at);
            at += 4 * HOUR + chance.below(16 * HOUR);
        }
    }
    for stranger in 0..world.people * world.days / 100 {
        let at = chance.below(world.days * DAY);
        let from = place(world, chance, world.people + stranger);
        script.account(at, &from, "registration_requested", nobody(stranger), Truth::Good);
    }
}

fn travels(who: u64) -> bool {
    who % 200 == 199
}

/// One login with all that goes wrong before it, and some requests.
fn visit(world: World, chance: &Chance, script: &mut Script, who: u64, at: u64) {
    let (mut at, mut known) = (at, !chance.happens(60));
    let mut from = place(world, chance, who);
    let truth = Truth::Good;
    if chance.happens(5) {
        // A new phone or browser, at a usual place.
        from.agent = browser(chance.next());
        known = false;
    }
    let own = |n: u64| who.wrapping_mul(1_000_003) ^ n;
    let wrong = match chance.below(1_000) {
        0..=39 => 1 + chance.below(3),
        40..=43 => 5 + chance.below(5),
        _ => 0,
    };
    for n in 0..wrong {
        script.login(at, &from, person(who), own(n), Some("bad_password"), known, truth);
        at += 4_000 + chance.below(20_000);
    }
    if wrong >= 5 {
        script.account(at, &from, "reset_requested", person(who), truth);
        at += 3 * MINUTE;
    }
    if chance.happens(5) {
        script.login(
            at,
            &from,
            nobody(chance.next()),
            own(77),
            Some("unknown_account"),
            known,
            truth,
        );
        at += 8_000;
    }
    if who.is_multiple_of(5) && chance.happens(30) {
        for _ in 0..=chance.below(2) {
            script.login(at, &from, person(who), 0, Some("bad_code"), known, truth);
            at += 9_000;
        }
    }
    script.login(at, &from, person(who), 0, None, known, truth);
    let session = format!("grt_{who}_{at}");
    script.token(at + 500, &from, person(who), ("issue", "web", &session), truth);
    for n in 0..3 + chance.below(8) {
        at += 500 + chance.below(40_000);
        let status = match chance.below(1_000) {
            0..=9 => 404,
            10..=13 => 502,
            _ => 200,
        };
        let path = format!("/profile/{}", if status == 404 { chance.next() } else { who });
        let bytes = 2_000 + chance.below(20_000);
        let route = if n % 2 == 0 { "profile" } else { "orders" };
        script.request(
            at,
            &from,
            person(who),
            Some(&session),
            (route, path),
            (status, bytes),
            truth,
        );
    }
    // The phone changes its network, the browser stays.
    if chance.happens(50) {
        let elsewhere =
            From { ip: v4(who % 3, 30, chance.below(CARRIER_ADDRESSES)), agent: from.agent };
        let answer = (200, 9_000);
        let asked = ("profile", "/profile/me".to_owned());
        script.request(at + MINUTE, &elsewhere, person(who), Some(&session), asked, answer, truth);
    }
}

/// People who fly: a login here, and some hours later one far away, with their own computer.
pub fn travellers(world: World, chance: &Chance, script: &mut Script) {
    for who in (0..world.people).filter(|who| travels(*who)) {
        let at = chance.below(DAY / 2);
        let home = From { ip: v4(who % 3, who % 20, who % 65_000), agent: browser(who) };
        let away = From { ip: v4(3 + who % 5, who % 30, who % 65_000), agent: browser(who) };
        script.login(at, &home, person(who), 0, None, true, Truth::Good);
        // No flight is faster, with the way to the airport.
        let flight = 26 * HOUR;
        script.login(at + flight, &away, person(who), 0, None, true, Truth::Good);
    }
}
