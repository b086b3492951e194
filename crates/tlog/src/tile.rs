//! Names and contents of the resources of `tlog-tiles`.

/// Entries in a full bundle, and hashes in a full tile.
pub const ENTRIES_PER_BUNDLE: u64 = 256;

/// An entry's length is written in two bytes.
pub const MAX_ENTRY_BYTES: usize = u16::MAX as usize;

/// The path of a tile below the log's prefix: `level` is a number or `entries`, `width` is given
/// for a partial tile. Tile 1234067 is `x001/x234/067`.
pub fn tile_path(level: &str, index: u64, width: Option<u8>) -> String {
    let mut elements = vec![format!("{:03}", index % 1000)];
    let mut rest = index / 1000;
    while rest > 0 {
        elements.push(format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    elements.reverse();
    let partial = width.map(|width| format!(".p/{width}")).unwrap_or_default();
    format!("tile/{level}/{}{partial}", elements.join("/"))
}

/// A resource of a log, as `tlog-tiles` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileName {
    /// The level of a tile of hashes, 0 to 63; `None` for a bundle of entries.
    pub level: Option<u8>,
    /// Its number.
    pub index: u64,
    /// How many hashes or entries a partial one has, 1 to 255.
    pub width: Option<u8>,
}

impl TileName {
    /// Reads a path below the log's prefix, such as `tile/0/x001/x234/067.p/5`. `None` for any
    /// other spelling than the one that [`tile_path`] gives.
    pub fn parse(path: &str) -> Option<Self> {
        // A number of a u64 has seven groups at most.
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, Some(width.parse().ok()?)),
            None => (rest, None),
        };
        let mut number = 0_u64;
        for group in index.split('/') {
            let digits = group.strip_prefix('x').unwrap_or(group);
            number = number.checked_mul(1_000)?.checked_add(digits.parse().ok()?)?;
        }
        let name = Self {
            level: if level == "entries" { None } else { Some(level.parse().ok()?) },
            index: number,
            width,
        };
        let shown = name.level.map_or("entries".to_owned(), |level| level.to_string());
        let canonical = tile_path(&shown, number, width) == path;
        let sound = name.level.is_none_or(|level| level <= 63) && width != Some(0);
        (canonical && sound).then_some(name)
    }
}

/// Takes a bundle apart: entries, each after its length as a big-endian u16. `None` if a length
/// runs past the end.
pub fn bundle_entries(mut bundle: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while !bundle.is_empty() {
        let (length, rest) = bundle.split_first_chunk::<2>()?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        bundle = rest;
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_the_specification() {
        assert_eq!(tile_path("0", 1_234_067, None), "tile/0/x001/x234/067");
        assert_eq!(tile_path("entries", 5, Some(7)), "tile/entries/005.p/7");
    }

    #[test]
    fn only_one_spelling_of_a_path_is_read() {
        for (level, index, width) in
            [(Some(0), 0, None), (Some(63), 1_234_067, Some(255)), (None, u64::MAX, Some(1))]
        {
            let shown = level.map_or("entries".to_owned(), |level: u8| level.to_string());
            let path = tile_path(&shown, index, width);
            assert_eq!(TileName::parse(&path), Some(TileName { level, index, width }), "{path}");
        }
        for wrong in [
            "",
            "tile/0",
            "tile/0/0",
            "tile/0/0000",
            "tile/0/x000/001",
            "tile/00/001",
            "tile/64/001",
            "tile/+1/001",
            "tile/0/x001/234/067",
            "tile/0/x001/x234/x067",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/07",
            "tile/0/001.p/",
            "tile/0/-01",
            "tile/0/001/",
            "tile/entries",
            "tile/Entries/001",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(TileName::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn torn_bundles_are_not_read() {
        assert_eq!(bundle_entries(&[0, 1, 9, 0, 0]).unwrap(), [&[9u8] as &[u8], &[]]);
        for torn in [&[0][..], &[0, 2, 1], &[0, 1, 9, 0]] {
            assert_eq!(bundle_entries(torn), None);
        }
    }
}
