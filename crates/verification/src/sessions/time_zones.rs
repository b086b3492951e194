//! In which countries clocks show the time of a zone.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

static ZONES: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let lines = include_str!("../../data/time_zones.tsv").lines();
    lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t')).collect()
});

/// Countries that have a zone.
static COUNTRIES: LazyLock<HashSet<&str>> =
    LazyLock::new(|| ZONES.keys().flat_map(|zone| countries(zone)).collect());

/// Whether there is a zone of a country, with two letters.
pub(super) fn has(country: &str) -> bool {
    COUNTRIES.contains(country)
}

/// The countries of a zone of the IANA database, with two letters; none for one that is of no place, or is none.
pub(super) fn countries(zone: &str) -> impl Iterator<Item = &'static str> + use<> {
    let found = ZONES.get(zone).copied().unwrap_or_default().split(',');
    // The database has no row for Kosovo, whose clocks go by this zone.
    let kosovo = (zone == "Europe/Belgrade").then_some("XK");
    found.filter(|country| !country.is_empty()).chain(kosovo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_in_their_countries_by_old_names_too() {
        let of = |zone| countries(zone).collect::<Vec<_>>();
        assert_eq!(of("Europe/Berlin"), ["DE", "DK", "NO", "SE", "SJ"]);
        assert_eq!(of("Europe/Copenhagen"), ["DK"]);
        assert_eq!(of("Asia/Calcutta"), of("Asia/Kolkata"));
        assert!(of("Etc/UTC").is_empty() && of("Europe/Atlantis").is_empty());
        assert!(ZONES.len() > 500);
        assert!(has("DE") && has("XK") && !has("UT") && !has("UN"));
    }
}
