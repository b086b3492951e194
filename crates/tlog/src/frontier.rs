use crate::{EMPTY_ROOT, Hash, HashReader, node_hash};

/// A growing tree as far as its root needs it: the roots of its complete subtrees, the largest first.
///
/// ```
/// use portcullis_tlog::{EMPTY_ROOT, Frontier, leaf_hash, node_hash};
/// let mut tree = Frontier::default();
/// assert_eq!(tree.root(), EMPTY_ROOT);
/// tree.push(leaf_hash(b"a"));
/// tree.push(leaf_hash(b"b"));
/// assert_eq!(tree.root(), node_hash(&leaf_hash(b"a"), &leaf_hash(b"b")));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Frontier {
    size: u64,
    subtrees: Vec<Hash>,
}

impl Frontier {
    /// That of the first `size` leaves.
    pub fn of<R: HashReader>(reader: &R, size: u64) -> Result<Self, R::Error> {
        let mut subtrees = Vec::new();
        let mut start = 0;
        for level in (0..64_u8).rev().filter(|level| size >> level & 1 == 1) {
            subtrees.push(reader.hash(level, start >> level)?);
            start += 1 << level;
        }
        Ok(Self { size, subtrees })
    }

    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let (mut hash, mut position) = (leaf, self.size);
        while position & 1 == 1 {
            if let Some(left) = self.subtrees.pop() {
                hash = node_hash(&left, &hash);
            }
            position >>= 1;
        }
        self.subtrees.push(hash);
        self.size += 1;
    }

    /// The root of the tree as it is.
    pub fn root(&self) -> Hash {
        let mut subtrees = self.subtrees.iter().rev();
        let Some(last) = subtrees.next() else { return EMPTY_ROOT };
        subtrees.fold(*last, |right, left| node_hash(left, &right))
    }
}
