//! The file of an index: a header that says where each section is, and the sections, all numbers with the
//! lowest byte first. It is used as it lies there, mapped into memory or read as a whole.

use std::{
    hash::Hasher,
    io::{self, Write},
    ops::Range,
};

use rustc_hash::FxHasher;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

/// The first bytes of a file, with the version of what follows.
const MAGIC: [u8; 8] = *b"pcidx\0\0\x03";

/// Bytes before the table of sections: magic, tables, list, count, sum of all the rest.
const HEADER: usize = 8 + 8 + 32 + 8 + 8;

/// Bytes of a row of the table: number, where, how long.
const ROW: usize = 24;

/// Sections of one index at most; each script has a few.
const MAX_SECTIONS: usize = 2_048;

/// Why a file is no index.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IndexError {
    /// Not made by this version of the crate, or not an index at all.
    #[error("this is no index, or one of another version")]
    Other,
    /// Made with other tables of names.
    #[error("the index was made with other tables of names")]
    Tables,
    /// It is what is new since another version than the one beside it.
    #[error("it belongs to the index of another version")]
    Base,
    /// Damaged.
    #[error("the index is cut off or damaged")]
    Damaged,
}

/// A file that is written.
pub struct Sections {
    rows: Vec<(u32, Vec<u8>)>,
}

impl Sections {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// All that others have, behind what is here.
    pub fn append(&mut self, others: Self) {
        self.rows.extend(others.rows);
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, number: u32, bytes: Vec<u8>) {
        self.rows.push((number, bytes));
    }

    /// Numbers.
    pub fn numbers(&mut self, number: u32, numbers: &[u32]) {
        self.bytes(number, numbers.iter().flat_map(|number| number.to_le_bytes()).collect());
    }

    /// Long numbers.
    pub fn long(&mut self, number: u32, numbers: &[u64]) {
        self.bytes(number, numbers.iter().flat_map(|number| number.to_le_bytes()).collect());
    }

    /// Writes the file. `tables` tells the tables of this crate, `list` is the SHA-256 of the list.
    pub fn write(self, tables: u64, list: [u8; 32], out: &mut impl Write) -> io::Result<()> {
        let mut at = HEADER + ROW * self.rows.len();
        let mut table = Vec::with_capacity(ROW * self.rows.len());
        for (number, bytes) in &self.rows {
            for field in [u64::from(*number), long(at), long(bytes.len())] {
                table.extend_from_slice(&field.to_le_bytes());
            }
            at += bytes.len();
        }
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&tables.to_le_bytes());
        header.extend_from_slice(&list);
        header.extend_from_slice(&long(self.rows.len()).to_le_bytes());
        out.write_all(&header)?;
        let mut sum = Sum::new();
        sum.add(&header);
        sum.add(&table);
        self.rows.iter().for_each(|(_, bytes)| sum.add(bytes));
        out.write_all(&sum.finish().to_le_bytes())?;
        out.write_all(&table)?;
        self.rows.iter().try_for_each(|(_, bytes)| out.write_all(bytes))
    }
}

fn long(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// A sum that finds damage, not malice: whoever can write here can write the list as well.
#[derive(Clone)]
struct Sum {
    /// Each takes every eighth word, so that none waits for another.
    lanes: [u64; 8],
    left: Vec<u8>,
    length: u64,
}

impl Sum {
    fn new() -> Self {
        Self { lanes: [0x9e37_79b9_7f4a_7c15; 8], left: Vec::new(), length: 0 }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.length = self.length.wrapping_add(long(bytes.len()));
        let mut bytes = bytes;
        if !self.left.is_empty() {
            let (head, rest) = bytes.split_at((64 - self.left.len()).min(bytes.len()));
            self.left.extend_from_slice(head);
            bytes = rest;
            if self.left.len() < 64 {
                return;
            }
            let block = std::mem::take(&mut self.left);
            self.blocks(&block);
        }
        let (blocks, rest) = bytes.split_at(bytes.len() / 64 * 64);
        self.blocks(blocks);
        self.left.extend_from_slice(rest);
    }

    fn blocks(&mut self, bytes: &[u8]) {
        for block in bytes.chunks_exact(64) {
            for (lane, word) in self.lanes.iter_mut().zip(block.chunks_exact(8)) {
                let word = word.try_into().map_or(0, u64::from_le_bytes);
                *lane = (*lane ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
            }
        }
    }

    fn finish(mut self) -> u64 {
        let mut last = std::mem::take(&mut self.left);
        last.resize(64, 0);
        self.blocks(&last);
        let lanes = self.lanes;
        lanes.iter().fold(self.length, |sum, lane| {
            (sum ^ lane).wrapping_mul(0xc4ce_b9fe_1a85_ec53).rotate_left(31)
        })
    }
}

/// A file that is used.
pub struct Image {
    bytes: Box<dyn AsRef<[u8]> + Send + Sync>,
    /// Where each section is, by its number.
    sections: Vec<Range<usize>>,
    /// SHA-256 of the list it was made of.
    pub list: [u8; 32],
}

impl Image {
    /// Looks at the header, and whether all of it is as it was written.
    pub fn open(
        bytes: Box<dyn AsRef<[u8]> + Send + Sync>,
        tables: u64,
    ) -> Result<Self, IndexError> {
        let file = (*bytes).as_ref();
        let (header, _) = file.split_at_checked(HEADER).ok_or(IndexError::Other)?;
        let field = |at: usize| {
            let eight = header.get(at..at + 8).and_then(|eight| eight.try_into().ok());
            eight.map_or(0, u64::from_le_bytes)
        };
        if header[..8] != MAGIC {
            return Err(IndexError::Other);
        }
        if field(8) != tables {
            return Err(IndexError::Tables);
        }
        let list = header[16..48].try_into().map_err(|_| IndexError::Damaged)?;
        let count = usize::try_from(field(48)).map_err(|_| IndexError::Damaged)?;
        if count > MAX_SECTIONS {
            return Err(IndexError::Damaged);
        }
        let table = file.get(HEADER..HEADER + count * ROW).ok_or(IndexError::Damaged)?;
        let mut sum = Sum::new();
        sum.add(&file[..HEADER - 8]);
        sum.add(&file[HEADER..]);
        if sum.finish() != field(56) {
            return Err(IndexError::Damaged);
        }
        let rows = <[U64]>::ref_from_bytes(table).map_err(|_| IndexError::Damaged)?;
        let section = |row: &[U64]| {
            let [number, at, length] = row else { return None };
            let at = usize::try_from(at.get()).ok()?;
            let end = at.checked_add(usize::try_from(length.get()).ok()?)?;
            (end <= file.len()).then_some((u32::try_from(number.get()).ok()?, at..end))
        };
        let sections = rows.chunks(3).map(section).collect::<Option<Vec<_>>>();
        let mut by_number = vec![0..0; MAX_SECTIONS];
        for (number, range) in sections.ok_or(IndexError::Damaged)? {
            *by_number.get_mut(number as usize).ok_or(IndexError::Damaged)? = range;
        }
        let sections = by_number;
        Ok(Self { bytes, sections, list })
    }

    /// How long the file is.
    pub fn len(&self) -> usize {
        (*self.bytes).as_ref().len()
    }

    /// A section as what it holds; empty if it is not there or not whole.
    pub fn get<T: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned>(
        &self,
        number: u32,
    ) -> &[T] {
        let range = self.sections.get(number as usize).cloned().unwrap_or_default();
        let bytes = (*self.bytes).as_ref().get(range).unwrap_or_default();
        <[T]>::ref_from_bytes(bytes).unwrap_or_default()
    }
}

/// Numbers that say where each of many lists begins, in another section.
#[derive(Clone, Copy)]
pub struct Table<'a, T> {
    offsets: &'a [U32],
    values: &'a [T],
}

impl<'a, T> Table<'a, T> {
    /// Of both sections.
    pub fn new(offsets: &'a [U32], values: &'a [T]) -> Self {
        Self { offsets, values }
    }

    /// How many lists.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Where a list is.
    pub fn range(&self, at: usize) -> Range<usize> {
        let place = |at: usize| self.offsets.get(at).map_or(0, |offset| offset.get() as usize);
        place(at)..place(at + 1)
    }

    /// A list.
    pub fn get(&self, at: usize) -> &'a [T] {
        self.values.get(self.range(at)).unwrap_or_default()
    }
}

/// Pairs of a hash and what has it, in order. Of hashes that begin with the same bits only the rest is kept.
#[derive(Clone, Copy)]
pub struct Hashes<'a> {
    /// Where those with each beginning are in the others; one more than there are beginnings.
    starts: &'a [U32],
    rests: &'a [U16],
    values: &'a [U32],
}

impl<'a> Hashes<'a> {
    /// Of the three sections from this on.
    pub fn of(image: &'a Image, section: u32) -> Self {
        Self {
            starts: image.get(section),
            rests: image.get(section + 1),
            values: image.get(section + 2),
        }
    }

    /// What has this hash, and perhaps a few others.
    pub fn get(&self, hash: u32) -> &'a [U32] {
        let bits = self.starts.len().saturating_sub(1).max(1).ilog2();
        let (beginning, rest) = cut(hash, bits);
        let start = |at: usize| self.starts.get(at).map_or(0, |start| start.get() as usize);
        let range = start(beginning)..start(beginning + 1);
        let rests = self.rests.get(range.clone()).unwrap_or_default();
        let from = rests.partition_point(|one| one.get() < rest);
        let count = rests[from..].iter().take_while(|one| one.get() == rest).count();
        let from = range.start + from;
        self.values.get(from..from + count).unwrap_or_default()
    }

    /// Writes pairs of a hash and what has it.
    pub fn write(file: &mut Sections, section: u32, mut hashes: Vec<(u32, u32)>) {
        // So many that few have the same beginning.
        let bits = (hashes.len() / 8).max(1).ilog2().min(16);
        let pair = |(hash, value): &(u32, u32)| {
            let (beginning, rest) = cut(*hash, bits);
            (beginning, rest, *value)
        };
        hashes.sort_unstable_by_key(pair);
        hashes.dedup_by_key(|one| pair(one));
        let mut starts = vec![0u32; (1 << bits) + 1];
        hashes.iter().for_each(|(hash, _)| starts[cut(*hash, bits).0 + 1] += 1);
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        file.numbers(section, &starts);
        let rests = hashes.iter().flat_map(|(hash, _)| cut(*hash, bits).1.to_le_bytes());
        file.bytes(section + 1, rests.collect());
        let values: Vec<u32> = hashes.into_iter().map(|(_, value)| value).collect();
        file.numbers(section + 2, &values);
    }
}

/// The first bits of a hash, up to 16, and the 16 bits after them.
fn cut(hash: u32, bits: u32) -> (usize, u16) {
    let high = u64::from(hash) << bits;
    let rest = u16::try_from((high >> 16) & 0xffff).unwrap_or(0);
    ((high >> 32) as usize, rest)
}

/// A hash of letters for one purpose.
pub fn hash(purpose: u8, letters: &[u8]) -> u32 {
    let mut hasher = FxHasher::default();
    hasher.write_u8(purpose);
    hasher.write(letters);
    let hash = hasher.finish();
    // The high half is the better mixed one.
    u32::try_from(hash >> 32).unwrap_or_default()
}
