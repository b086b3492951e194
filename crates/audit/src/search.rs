use std::time::Duration;

use portcullis_events::{SearchFields, search_fields};
use portcullis_tlog::{ENTRIES_PER_BUNDLE, bundle_entries};
use portcullis_types::{AddrKey, ClientAddr, Prefix, Timestamp};

use crate::{LogReader, files::LogError, needles::Needles};

/// A search returns at most this many entries; ask again from the last index.
pub const MAX_RESULTS: usize = 10_000;

/// Entries are in order of arrival; their times may step back by this much when a clock is set.
const DISORDER: Duration = Duration::from_secs(60);

/// What to look for. Every condition that is given must hold.
#[derive(Debug, Default, Clone)]
pub struct Filter {
    /// At this time or later.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Ids or names of which the event concerns one; empty for anybody.
    pub subjects: Vec<String>,
    /// The address, or for IPv6 the /64, it came from.
    pub addr: Option<AddrKey>,
    /// What stands for that address where it is sealed, in each month.
    pub addr_tags: Vec<String>,
    /// The network it came from, where the address is not sealed.
    pub network: Option<Prefix>,
    /// A text that is somewhere in the entry as it is stored, letter for letter.
    pub text: Option<String>,
    /// The event's code, or the beginning of it: `authn_` finds all authentication.
    pub kind: Option<String>,
    /// Whether it succeeded.
    pub success: Option<bool>,
    /// The request it happened in.
    pub request_id: Option<String>,
    /// At this index or later.
    pub from_index: u64,
    /// Before this index; where the newest come first, that is where they begin.
    pub before: Option<u64>,
    /// At most this many; never more than [`MAX_RESULTS`].
    pub limit: usize,
    /// Entries are read until they are so many bytes; all of them if this is left out.
    pub most_bytes: Option<u64>,
}

impl Filter {
    fn accepts(&self, fields: &SearchFields) -> bool {
        let network = |network: Prefix| {
            // Blocks are of networks themselves.
            let seen = fields.addr.as_deref().and_then(|addr| match addr.parse() {
                Ok(ip) => Some(Prefix::new(ip, u8::MAX)),
                Err(_) => Prefix::parse(addr),
            });
            let within = |a: Prefix, b: Prefix| a.contains(ClientAddr::new(b.ip()));
            seen.is_some_and(|seen| within(network, seen) || within(seen, network))
        };
        let addr = |key: AddrKey| match &fields.addr {
            Some(seen) => AddrKey::parse(seen).is_some_and(|seen| seen == key),
            None => fields.addr_tag.as_ref().is_some_and(|tag| self.addr_tags.contains(tag)),
        };
        self.from.is_none_or(|from| fields.time >= from)
            && self.until.is_none_or(|until| fields.time < until)
            && (self.subjects.is_empty()
                || self.subjects.iter().any(|subject| fields.subjects.contains(subject)))
            && self.addr.is_none_or(addr)
            && self.network.is_none_or(network)
            && self.kind.as_ref().is_none_or(|kind| fields.code.starts_with(kind.as_str()))
            && self.success.is_none_or(|success| fields.success == Some(success))
            && self.request_id.as_ref().is_none_or(|id| fields.request_id.as_ref() == Some(id))
    }
}

/// An entry that matched.
#[derive(Debug)]
pub struct Found {
    /// Its index in the log.
    pub index: u64,
    /// The entry, OCSF as JSON.
    pub entry: Vec<u8>,
}

/// What a search found, and where it stopped.
#[derive(Debug, Default)]
pub struct Page {
    /// Entries that matched, in the order that was asked for.
    pub found: Vec<Found>,
    /// Where to go on, unless the whole log was looked at: `from_index`, or `before` where the newest come first.
    pub next: Option<u64>,
}

impl LogReader {
    /// Finds entries, oldest first.
    pub fn search(&self, filter: &Filter) -> Result<Vec<Found>, LogError> {
        Ok(self.search_page(filter)?.found)
    }

    /// The same, and where to go on. Bundles are looked at as bytes first: where what is looked for
    /// is rare, few entries are ever read as JSON.
    pub fn search_page(&self, filter: &Filter) -> Result<Page, LogError> {
        let limit = filter.limit.min(MAX_RESULTS);
        let (mut page, mut read, mut bytes) = (Page::default(), 0, Vec::new());
        let needles = Needles::of(filter);
        let bundles = self.size().div_ceil(ENTRIES_PER_BUNDLE);
        let by_time = filter.from.map_or(Ok(0), |from| self.first_bundle_since(from, bundles))?;
        let kept = self.minimum().div_ceil(ENTRIES_PER_BUNDLE);
        for number in by_time.max(kept).max(filter.from_index / ENTRIES_PER_BUNDLE)..bundles {
            let first = number * ENTRIES_PER_BUNDLE;
            if filter.most_bytes.is_some_and(|most| read >= most) {
                page.next = Some(first.max(filter.from_index));
                return Ok(page);
            }
            read += self.bundle_matches(number, filter, &needles, &mut bytes, &mut page.found)?;
            if page.found.len() >= limit {
                page.found.truncate(limit);
                let last = page.found.last().map_or(first, |last| last.index);
                page.next = Some(last + 1).filter(|next| *next < self.size());
                return Ok(page);
            }
            if filter.until.is_some_and(|until| self.starts_after(number + 1, bundles, until)) {
                break;
            }
        }
        Ok(page)
    }

    /// The same, newest first: whoever looks at what goes on now must not read what was before.
    pub fn search_back(&self, filter: &Filter) -> Result<Page, LogError> {
        let limit = filter.limit.min(MAX_RESULTS);
        let (mut page, mut read, mut bytes) = (Page::default(), 0, Vec::new());
        let needles = Needles::of(filter);
        let end = filter.before.map_or(self.size(), |before| before.min(self.size()));
        let mut bundles = end.div_ceil(ENTRIES_PER_BUNDLE);
        if let Some(until) = filter.until {
            bundles = self.bundles_before(until.plus(DISORDER), bundles)?;
        }
        let kept = self.minimum().div_ceil(ENTRIES_PER_BUNDLE);
        for number in (kept.max(filter.from_index / ENTRIES_PER_BUNDLE)..bundles).rev() {
            let first = number * ENTRIES_PER_BUNDLE;
            if filter.most_bytes.is_some_and(|most| read >= most) {
                page.next = Some((first + ENTRIES_PER_BUNDLE).min(end));
                return Ok(page);
            }
            let mut found = Vec::new();
            read += self.bundle_matches(number, filter, &needles, &mut bytes, &mut found)?;
            page.found.extend(found.into_iter().rev());
            if page.found.len() >= limit {
                page.found.truncate(limit);
                page.next = page.found.last().map(|last| last.index).filter(|next| *next > 0);
                return Ok(page);
            }
            let begins = |from: Timestamp| {
                let time = self.bundle_time(number).ok().flatten();
                time.is_some_and(|time| time < from.minus(DISORDER))
            };
            if filter.from.is_some_and(begins) {
                break;
            }
        }
        Ok(page)
    }

    /// What matches in a bundle, and how long the bundle is. What was removed since has nothing.
    fn bundle_matches(
        &self,
        number: u64,
        filter: &Filter,
        needles: &Needles,
        bytes: &mut Vec<u8>,
        found: &mut Vec<Found>,
    ) -> Result<u64, LogError> {
        let first = number * ENTRIES_PER_BUNDLE;
        match self.bundle_into(number, bytes) {
            // Since the log was opened.
            Err(LogError::Removed { .. }) => return Ok(0),
            other => other?,
        }
        let length = bytes.len() as u64;
        if !needles.may_be_in(bytes) {
            return Ok(length);
        }
        let Some(entries) = bundle_entries(bytes) else {
            return if self.is_removed(first)? { Ok(length) } else { Err(LogError::Entry(first)) };
        };
        for (entry, index) in entries.into_iter().zip(first..self.size()) {
            let wanted = index >= filter.from_index
                && filter.before.is_none_or(|before| index < before)
                && needles.may_be_in(entry)
                && search_fields(entry).is_some_and(|fields| filter.accepts(&fields));
            if wanted {
                found.push(Found { index, entry: entry.to_vec() });
            }
        }
        Ok(length)
    }

    /// The last bundle that may begin before `from`.
    fn first_bundle_since(&self, from: Timestamp, bundles: u64) -> Result<u64, LogError> {
        let kept = self.minimum().div_ceil(ENTRIES_PER_BUNDLE);
        let before = self.bundles_before(from.minus(DISORDER), bundles)?;
        Ok(before.saturating_sub(1).max(kept))
    }

    /// How many of so many bundles begin before a time, by bisection.
    fn bundles_before(&self, from: Timestamp, bundles: u64) -> Result<u64, LogError> {
        let kept = self.minimum().div_ceil(ENTRIES_PER_BUNDLE);
        let (mut low, mut high) = (kept, bundles);
        while low < high {
            let middle = low + (high - low) / 2;
            let before = match self.bundle_time(middle) {
                // Since the log was opened.
                Err(LogError::Removed { .. }) => true,
                time => time?.is_some_and(|time| time < from),
            };
            if before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn starts_after(&self, number: u64, bundles: u64, until: Timestamp) -> bool {
        let begin = if number < bundles { self.bundle_time(number).ok().flatten() } else { None };
        begin.is_some_and(|begin| begin > until.plus(DISORDER))
    }

    /// The time of the first event in a bundle.
    fn bundle_time(&self, number: u64) -> Result<Option<Timestamp>, LogError> {
        let entries = self.bundle(number)?;
        Ok(entries.iter().find_map(|entry| search_fields(entry)).map(|fields| fields.time))
    }
}
