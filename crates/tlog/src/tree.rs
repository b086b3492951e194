//! The tree over a log, computed from the hashes of complete subtrees.
//!
//! A node is named by `(level, index)`: level 0 are the leaves, and node `(l, i)` covers the leaves
//! `[i << l, (i + 1) << l)`. Only complete subtrees are stored; the ragged right edge is computed.

use std::ops::Range;

use crate::{EMPTY_ROOT, Hash, node_hash};

/// Where the hashes of complete subtrees come from.
pub trait HashReader {
    /// Why a hash could not be read.
    type Error;

    /// The hash of the complete subtree `(level, index)`.
    fn hash(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// The hashes that appending leaf number `index` completes, from level 1 upwards.
///
/// The leaf's own hash is `leaf`; `reader` answers for everything before it.
pub fn hashes_added_by<R: HashReader>(
    reader: &R,
    index: u64,
    leaf: Hash,
) -> Result<Vec<Hash>, R::Error> {
    let mut added = Vec::new();
    let (mut right, mut position, mut level) = (leaf, index, 0);
    while position & 1 == 1 {
        right = node_hash(&reader.hash(level, position - 1)?, &right);
        added.push(right);
        position >>= 1;
        level += 1;
    }
    Ok(added)
}

/// The root of the first `size` leaves.
pub fn root<R: HashReader>(reader: &R, size: u64) -> Result<Hash, R::Error> {
    if size == 0 { Ok(EMPTY_ROOT) } else { range_hash(reader, 0..size) }
}

/// The audit path of leaf `index` in the tree of the first `size` leaves (RFC 6962, section
/// 2.1.1), from the leaf's sibling upwards. `index` must be below `size`.
pub fn inclusion_proof<R: HashReader>(
    reader: &R,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, R::Error> {
    let mut path = Vec::new();
    let mut range = 0..size;
    while range.end - range.start > 1 {
        let (left, right) = halves(&range);
        if index < left.end {
            path.push(range_hash(reader, right)?);
            range = left;
        } else {
            path.push(range_hash(reader, left)?);
            range = right;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `old` leaves is a prefix of that of `new` leaves (RFC 6962, section
/// 2.1.2). Empty when either is empty or both are equal.
pub fn consistency_proof<R: HashReader>(
    reader: &R,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, R::Error> {
    if old == 0 || old >= new {
        return Ok(Vec::new());
    }
    let mut path = Vec::new();
    let mut range = 0..new;
    let mut whole = true;
    while old != range.end {
        let (left, right) = halves(&range);
        if old <= left.end {
            path.push(range_hash(reader, right)?);
            range = left;
        } else {
            path.push(range_hash(reader, left)?);
            range = right;
            whole = false;
        }
    }
    if !whole {
        path.push(range_hash(reader, range)?);
    }
    path.reverse();
    Ok(path)
}

/// The hash of a range whose start is a multiple of the largest power of two that fits in it.
fn range_hash<R: HashReader>(reader: &R, range: Range<u64>) -> Result<Hash, R::Error> {
    let length = range.end - range.start;
    if length.is_power_of_two() {
        let level = length.trailing_zeros();
        return reader.hash(u8::try_from(level).unwrap_or(u8::MAX), range.start >> level);
    }
    let (left, right) = halves(&range);
    Ok(node_hash(&range_hash(reader, left)?, &range_hash(reader, right)?))
}

/// Splits a range of at least two leaves at the largest power of two below its length.
fn halves(range: &Range<u64>) -> (Range<u64>, Range<u64>) {
    let length = range.end - range.start;
    let middle = range.start + (length - 1).checked_ilog2().map_or(0, |log| 1 << log);
    (range.start..middle, middle..range.end)
}
