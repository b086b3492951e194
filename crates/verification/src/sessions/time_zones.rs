//! In which countries clocks show the time of a zone.

use std::{collections::HashMap, sync::LazyLock};

static ZONES: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let lines = include_str!("../../data/time_zones.tsv").lines();
    lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t')).collect()
});

/// The countries of a zone of the IANA database, with two letters; none for one that is of no place, or is none.
pub(super) fn countries(zone: &str) -> impl Iterator<Item = &'static str> + use<> {
    ZONES.get(zone).into_iter().flat_map(|countries| countries.split(','))
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
    }
}
