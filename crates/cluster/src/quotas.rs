use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use portcullis_types::{HashKey, Timestamp};

/// Keys of one quota that are counted at once. Whoever comes beyond that is counted together with all
/// others who do: a flood of new keys must open the quota to nobody, nor push out somebody's count.
const MAX_KEYS: usize = 1 << 15;
const DAY: i64 = 86_400;

/// What a quota is for; both begin at midnight UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// A calendar day.
    Day,
    /// A calendar month.
    Month,
}

impl Period {
    /// When the period that holds `now` began, and when it ends, in seconds.
    pub fn around(self, now: Timestamp) -> (i64, i64) {
        let days = now.secs().div_euclid(DAY);
        match self {
            Self::Day => (days * DAY, (days + 1) * DAY),
            Self::Month => {
                let (year, month, _) = civil(days);
                let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                (days_from_civil(year, month) * DAY, days_from_civil(next_year, next) * DAY)
            }
        }
    }
}

/// Counts that outlive the process: what was used of a day or a month.
///
/// Requests count in memory. Now and then [`Quotas::changed`] hands out what to store, and
/// [`Quotas::stored`] takes in what all nodes used together. A node that dies loses what it counted
/// since; several nodes together may let pass what each counted since.
pub struct Quotas {
    key: HashKey,
    used: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    keys: HashMap<(u128, i64), Used>,
    /// How many keys of each quota there are, by the hash of its name.
    counts: HashMap<u128, usize>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Used {
    /// By all nodes, as far as is known.
    total: u64,
    /// Of it, what is not stored yet.
    fresh: u64,
    /// When the period ends.
    ends: i64,
    /// Which quota it is of, if that is known.
    of: u128,
}

/// What is stored of a key and a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaRow {
    /// What stands for the key: it is hashed, and cannot be read back.
    pub key: u128,
    /// When the period began, in seconds.
    pub began: i64,
    /// When it ends.
    pub ends: i64,
    /// What was used: since the last time when it goes out, by all when it comes in.
    pub used: u64,
}

/// What a quota says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaDecision {
    /// Whether it may pass.
    pub allowed: bool,
    /// What is left.
    pub remaining: u64,
    /// When the next period begins.
    pub reset: Duration,
}

impl Quotas {
    /// Nothing is used yet. `key` must be the same after a restart, and on every node.
    pub fn new(key: HashKey) -> Self {
        Self { key, used: Mutex::default() }
    }

    /// Takes `cost` of `most`, if there is so much left; takes nothing if `counts_now` is false.
    pub fn take(
        &self,
        key: &[&[u8]],
        most: u64,
        period: Period,
        cost: u64,
        counts_now: bool,
        now: Timestamp,
    ) -> QuotaDecision {
        let (began, ends) = period.around(now);
        let reset = Timestamp::from_secs(ends).since(now);
        let of = self.key.fingerprint(&key[..key.len().min(1)]);
        let mut name = (self.key.fingerprint(key), began);
        let mut all = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let Table { keys, counts } = &mut *all;
        if !keys.contains_key(&name) && counts.get(&of).is_some_and(|count| *count >= MAX_KEYS) {
            name.0 = of;
        }
        let total = keys.get(&name).map_or(0, |used| used.total);
        let allowed = total.saturating_add(cost) <= most;
        if allowed && counts_now {
            let used = keys.entry(name).or_insert_with(|| {
                *counts.entry(of).or_default() += 1;
                Used { of, ..Used::default() }
            });
            used.ends = ends;
            used.total += cost;
            used.fresh += cost;
        }
        let after = if allowed { total + cost } else { total };
        QuotaDecision { allowed, remaining: most.saturating_sub(after), reset }
    }

    /// What was used since the last call, for whoever stores it. Give it back with
    /// [`Quotas::failed`] if that fails.
    pub fn changed(&self, now: Timestamp) -> Vec<QuotaRow> {
        let mut all = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows = Vec::new();
        let Table { keys, counts } = &mut *all;
        for ((key, began), used) in &mut *keys {
            let fresh = std::mem::take(&mut used.fresh);
            if fresh > 0 {
                rows.push(QuotaRow { key: *key, began: *began, ends: used.ends, used: fresh });
            }
        }
        keys.retain(|_, used| {
            let kept = used.ends > now.secs();
            if let (false, Some(count)) = (kept, counts.get_mut(&used.of)) {
                *count = count.saturating_sub(1);
            }
            kept
        });
        counts.retain(|_, count| *count > 0);
        rows
    }

    /// It could not be stored.
    pub fn failed(&self, rows: &[QuotaRow]) {
        let mut all = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            let used = all.keys.entry((row.key, row.began)).or_default();
            used.ends = row.ends;
            used.fresh += row.used;
            used.total = used.total.max(used.fresh);
        }
    }

    /// What all nodes used together.
    pub fn stored(&self, rows: &[QuotaRow]) {
        let mut all = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            let used = all.keys.entry((row.key, row.began)).or_default();
            used.ends = row.ends;
            used.total = row.used + used.fresh;
        }
    }
}

impl std::fmt::Debug for Quotas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Quotas")
    }
}

/// Year, month and day of a day since 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The day since 1970 on which a month begins.
fn days_from_civil(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn quotas() -> Quotas {
        #[derive(Debug)]
        struct Fixed;
        impl portcullis_types::Entropy for Fixed {
            fn fill(&self, out: &mut [u8]) {
                out.fill(1);
            }
        }
        Quotas::new(HashKey::new(&Fixed))
    }

    #[test]
    fn periods_begin_at_midnight_and_on_the_first() {
        // 2024-02-29T12:00:00Z
        let leap = at(1_709_208_000);
        assert_eq!(Period::Day.around(leap), (1_709_164_800, 1_709_251_200));
        assert_eq!(Period::Month.around(leap), (1_706_745_600, 1_709_251_200));
        // 2026-12-31T23:59:59Z and a second later.
        assert_eq!(Period::Month.around(at(1_798_761_599)), (1_796_083_200, 1_798_761_600));
        assert_eq!(Period::Month.around(at(1_798_761_600)), (1_798_761_600, 1_801_440_000));
        for day in (0..80_000).step_by(13) {
            let (began, ends) = Period::Month.around(at(day * DAY + 5));
            assert!(
                began <= day * DAY
                    && day * DAY < ends
                    && (28..=31).contains(&((ends - began) / DAY))
            );
        }
    }

    #[test]
    fn a_quota_is_used_up_and_comes_back_with_the_next_period() {
        let quotas = quotas();
        let take = |now| quotas.take(&[b"k"], 3, Period::Day, 1, true, at(now)).allowed;
        assert!(take(10) && take(11) && take(12) && !take(13));
        assert!(quotas.take(&[b"other"], 3, Period::Day, 1, true, at(13)).allowed);
        let told = quotas.take(&[b"k"], 3, Period::Day, 1, true, at(86_300));
        assert_eq!(
            told,
            QuotaDecision { allowed: false, remaining: 0, reset: Duration::from_secs(100) }
        );
        assert!(take(86_400));
        assert!(!quotas.take(&[b"k"], 3, Period::Day, 3, true, at(86_401)).allowed);
    }

    #[test]
    fn a_flood_of_keys_opens_a_quota_to_nobody() {
        let quotas = quotas();
        let take = |rule: &[u8], key: &[u8]| {
            quotas.take(&[rule, key], 3, Period::Day, 1, true, at(10)).allowed
        };
        assert!(take(b"a", b"victim"));
        for n in 0..MAX_KEYS + 10 {
            take(b"a", &n.to_be_bytes());
        }
        assert!(take(b"a", b"victim") && take(b"a", b"victim") && !take(b"a", b"victim"));
        let fresh = (0..20_u8).filter(|n| take(b"a", &[*n, 1, 1])).count();
        assert!(fresh <= 3, "{fresh}");
        assert!(take(b"b", b"x"), "another quota has room of its own");
        quotas.changed(at(90_000));
        assert!(quotas.used.lock().unwrap().counts.is_empty());
    }

    #[test]
    fn nodes_learn_what_the_others_used() {
        let (one, two) = (quotas(), quotas());
        let take = |node: &Quotas| node.take(&[b"k"], 5, Period::Day, 1, true, at(10)).allowed;
        assert!(take(&one) && take(&one) && take(&two));
        let mut rows = one.changed(at(11));
        assert_eq!((rows.len(), rows[0].used), (1, 2));
        rows[0].used += two.changed(at(11))[0].used;
        one.stored(&rows);
        two.stored(&rows);
        assert!(take(&two) && take(&two) && !take(&two));
        // What could not be stored is offered again.
        let rows = two.changed(at(12));
        two.failed(&rows);
        assert_eq!(two.changed(at(12)), rows);
        assert!(!take(&two));
    }
}
