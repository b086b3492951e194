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
    fn torn_bundles_are_not_read() {
        assert_eq!(bundle_entries(&[0, 1, 9, 0, 0]).unwrap(), [&[9u8] as &[u8], &[]]);
        for torn in [&[0][..], &[0, 2, 1], &[0, 1, 9, 0]] {
            assert_eq!(bundle_entries(torn), None);
        }
    }
}
