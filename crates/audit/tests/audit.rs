//! The log through its public interface: what is acknowledged stays, what is changed is found.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::{fs, path::Path};

use portcullis_audit::{
    Audit, Damage, Filter, LogError, LogReader, LogWriter, Logs, Page, newest_log, prune, verify,
    verify_all,
};
use portcullis_events::{
    Actor, Event, Kind, Lifecycle, LoginAttempt, Origin, Outcome, Pruned, Removed,
};
use portcullis_tlog::{NoteSigner, TileName};
use portcullis_types::{AddrKey, ClientAddr, Entropy, Id, Prefix, Timestamp};
use proptest::prelude::*;
use tempfile::TempDir;

/// In memory where there is such a place: these tests flush thousands of times, and cut the power
/// themselves.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn signer() -> NoteSigner {
    NoteSigner::new("log.example/2026", &[7; 32]).unwrap()
}

fn open(dir: &Path) -> LogWriter {
    LogWriter::open(dir, signer()).unwrap()
}

fn entries(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|n| format!("entry number {n}").into_bytes()).collect()
}

fn log_of(count: usize) -> TempDir {
    let dir = scratch();
    let mut log = open(dir.path());
    for batch in entries(count).chunks(100) {
        log.append(batch).unwrap();
        log.checkpoint().unwrap();
    }
    dir
}

fn damage(dir: &Path) -> Option<Damage> {
    verify(dir, &signer().verifier()).unwrap().damage
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_log_survives_reopening_and_verifies() {
    let dir = log_of(700);
    let mut log = open(dir.path());
    assert_eq!(log.size(), 700);
    log.append(&entries(3)).unwrap();
    log.checkpoint().unwrap();
    let report = verify(dir.path(), &signer().verifier()).unwrap();
    assert_eq!((report.entries, report.signed, report.checkpoints), (703, 703, 8));
    assert_eq!(report.damage, None);
    let reader = LogReader::open(dir.path()).unwrap();
    for index in [0, 255, 256, 699] {
        assert_eq!(reader.entry(index).unwrap(), format!("entry number {index}").into_bytes());
        let proof = reader.prove(index, &signer().verifier()).unwrap();
        proof.verify(&reader.entry(index).unwrap(), &signer().verifier()).unwrap();
    }
    assert!(reader.entry(703).is_err());
}

#[test]
fn a_second_writer_is_refused() {
    let dir = log_of(1);
    let _first = open(dir.path());
    assert!(matches!(LogWriter::open(dir.path(), signer()), Err(LogError::InUse(_))));
}

/// Whatever byte of the entries is changed, the entry it belongs to is named.
#[test]
fn every_changed_byte_names_its_entry() {
    let dir = log_of(40);
    let path = dir.path().join("entries");
    let whole = fs::read(&path).unwrap();
    let mut owner = Vec::new();
    for (index, entry) in entries(40).iter().enumerate() {
        owner.extend(vec![index as u64; entry.len() + 2]);
    }
    assert_eq!(owner.len(), whole.len());
    for (at, index) in owner.into_iter().enumerate() {
        flip(&path, at);
        assert_eq!(damage(dir.path()), Some(Damage::Entry(index)), "byte {at}");
        fs::write(&path, &whole).unwrap();
    }
    assert_eq!(damage(dir.path()), None);
}

/// An attacker who recomputes the stored hashes still cannot reach the signed root.
#[test]
fn entries_rewritten_with_their_hashes_are_found() {
    let dir = log_of(250);
    let path = dir.path().join("entries");
    flip(&path, 20 * 150);
    let reader = portcullis_tlog::bundle_entries;
    let bytes = fs::read(&path).unwrap();
    let hashes: Vec<u8> = reader(&bytes)
        .unwrap()
        .iter()
        .flat_map(|entry| portcullis_tlog::leaf_hash(entry))
        .collect();
    fs::write(dir.path().join("level-0"), hashes).unwrap();
    assert_eq!(damage(dir.path()), Some(Damage::Between { sound: 100, broken: 200 }));
    assert!(matches!(
        LogWriter::open(dir.path(), signer()),
        Err(LogError::Rewritten { size: 250 })
    ));
}

#[test]
fn a_damaged_stored_hash_is_told_from_a_damaged_entry() {
    let dir = log_of(30);
    flip(&dir.path().join("level-0"), 32 * 9);
    assert_eq!(damage(dir.path()), Some(Damage::StoredHash(9)));
}

#[test]
fn a_cut_log_is_refused_at_start_and_named_by_verify() {
    let dir = log_of(30);
    let path = dir.path().join("entries");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 4]).unwrap();
    assert_eq!(damage(dir.path()), Some(Damage::Entry(29)));
    assert!(matches!(
        LogWriter::open(dir.path(), signer()),
        Err(LogError::Short { promised: 30, .. })
    ));
}

/// Whoever removes or replaces checkpoints cannot have the log signed anew.
#[test]
fn checkpoints_that_were_removed_or_put_back_are_noticed() {
    let dir = log_of(250);
    let history = fs::read_to_string(dir.path().join("checkpoints")).unwrap();
    let old = history.trim().split("\n\nlog.example").nth(1).unwrap();
    fs::write(dir.path().join("checkpoint"), format!("log.example{old}\n")).unwrap();
    assert_eq!(damage(dir.path()), None);
    assert_eq!(verify(dir.path(), &signer().verifier()).unwrap().signed, 250, "the history knows");
    let entries = fs::read(dir.path().join("entries")).unwrap();
    fs::write(dir.path().join("entries"), &entries[..2_000]).unwrap();
    assert!(damage(dir.path()).is_some());
    assert!(LogWriter::open(dir.path(), signer()).is_err());

    fs::write(dir.path().join("entries"), &entries).unwrap();
    for name in ["checkpoint", "checkpoints"] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    assert!(matches!(damage(dir.path()), Some(Damage::Checkpoint(_))));
    assert!(matches!(LogWriter::open(dir.path(), signer()), Err(LogError::Unsigned)));
}

#[test]
fn half_a_note_in_the_history_hides_no_other() {
    let dir = log_of(200);
    let path = dir.path().join("checkpoints");
    let history = fs::read_to_string(&path).unwrap();
    fs::write(&path, &history[..history.len() - 30]).unwrap();
    let mut log = open(dir.path());
    log.append(&entries(1)).unwrap();
    log.checkpoint().unwrap();
    let report = verify(dir.path(), &signer().verifier()).unwrap();
    assert_eq!((report.signed, report.damage), (201, None));
}

#[test]
fn a_checkpoint_by_another_key_is_not_trusted() {
    let dir = log_of(3);
    let stranger = NoteSigner::new("log.example/2026", &[8; 32]).unwrap();
    let report = verify(dir.path(), &stranger.verifier()).unwrap();
    assert!(matches!(report.damage, Some(Damage::Checkpoint(_))));
    assert!(LogWriter::open(dir.path(), stranger).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// A power cut: any part of the last, unacknowledged batch and of its journal slot may be on
    /// disk. What was acknowledged before is always there and verifies.
    #[test]
    fn nothing_acknowledged_is_lost_in_a_power_cut(
        acknowledged in 1usize..400,
        unacknowledged in 1usize..40,
        survived in proptest::collection::vec(any::<bool>(), 4096),
        with_checkpoint in any::<bool>(),
    ) {
        let dir = scratch();
        let mut log = open(dir.path());
        for batch in entries(acknowledged).chunks(7) {
            log.append(batch).unwrap();
        }
        if with_checkpoint {
            log.checkpoint().unwrap();
        }
        let before: Vec<_> =
            ["entries", "journal"].map(|name| fs::read(dir.path().join(name)).unwrap()).into();
        log.append(&entries(unacknowledged)).unwrap();
        drop(log);
        for (name, old) in ["entries", "journal"].iter().zip(&before) {
            let mut new = fs::read(dir.path().join(name)).unwrap();
            for (at, byte) in new.iter_mut().enumerate() {
                if !survived[at % survived.len()] {
                    *byte = old.get(at).copied().unwrap_or(0);
                }
            }
            fs::write(dir.path().join(name), new).unwrap();
        }
        let mut log = open(dir.path());
        let all = acknowledged + unacknowledged;
        prop_assert!([acknowledged as u64, all as u64].contains(&log.size()));
        log.append(&entries(1)).unwrap();
        log.checkpoint().unwrap();
        prop_assert_eq!(damage(dir.path()), None);
        let reader = LogReader::open(dir.path()).unwrap();
        for index in 0..acknowledged {
            prop_assert_eq!(reader.entry(index as u64).unwrap(), entries(acknowledged)[index].clone());
        }
    }
}

/// The files of a log, by name.
type Files = std::collections::BTreeMap<String, Vec<u8>>;

fn files(dir: &Path) -> Files {
    let named = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    fs::read_dir(dir).unwrap().map(named).filter(|(name, _)| name != "lock").collect()
}

/// SplitMix64.
struct Dice(u64);
impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    /// What is on disk of a write that was not flushed: any part of it, in blocks or in bytes, and
    /// any length between.
    fn torn(&mut self, old: &[u8], new: &[u8]) -> Vec<u8> {
        let block = [1, 16, 512][usize::try_from(self.roll(3)).unwrap()];
        let mut torn = new.to_vec();
        for (at, part) in torn.chunks_mut(block).enumerate() {
            if self.roll(2) == 0 {
                for (byte, place) in part.iter_mut().zip(at * block..) {
                    *byte = old.get(place).copied().unwrap_or(0);
                }
            }
        }
        if new.len() > old.len() && self.roll(3) == 0 {
            let grown = u64::try_from(new.len() - old.len()).unwrap();
            torn.truncate(old.len() + usize::try_from(self.roll(grown + 1)).unwrap());
        }
        torn
    }
}

/// Power cuts at every step of a write: while entries and their mark are written, while hashes and
/// the history of checkpoints are, and around the moment at which a checkpoint takes its place.
#[test]
fn nothing_acknowledged_is_lost_in_twelve_hundred_power_cuts() {
    let mut kept = [0; 2];
    for case in 0..1_200_u64 {
        let mut dice = Dice(case);
        let dir = scratch();
        let (first, second, third) = (dice.roll(300), 1 + dice.roll(40), 1 + dice.roll(40));
        let [first, second, third] =
            [first, second, third].map(|count| usize::try_from(count).unwrap());
        let all = entries(first + second + third);
        let mut log = open(dir.path());
        for batch in all[..first].chunks(60) {
            log.append(batch).unwrap();
        }
        log.checkpoint().unwrap();
        // Hashes and offsets are flushed with checkpoints only.
        let signed = files(dir.path());
        log.append(&all[first..first + second]).unwrap();
        let acknowledged = files(dir.path());
        log.append(&all[first + second..]).unwrap();
        let written = files(dir.path());
        let step = dice.roll(4);
        if step > 0 {
            log.checkpoint().unwrap();
        }
        drop(log);
        let new = files(dir.path());
        let after = scratch();
        for (name, bytes) in &new {
            let old = |files: &Files| files.get(name).cloned().unwrap_or_default();
            let bytes = match (step, name.as_str()) {
                (0, "entries" | "journal") => dice.torn(&old(&acknowledged), bytes),
                (_, "entries" | "journal" | "vkey") => bytes.clone(),
                // A rename is there or it is not.
                (3, "checkpoint") if dice.roll(2) == 0 => bytes.clone(),
                (_, "checkpoint") => old(&signed),
                // The history follows the hashes, and the checkpoint follows the history.
                (0 | 1, "checkpoints") => old(&signed),
                (2, "checkpoints") => dice.torn(&old(&written), bytes),
                (2 | 3, _) => bytes.clone(),
                _ => dice.torn(&old(&signed), bytes),
            };
            fs::write(after.path().join(name), bytes).unwrap();
        }
        let known = LogReader::open(after.path()).unwrap().checkpoint_text().unwrap();
        let mut log = open(after.path());
        let size = usize::try_from(log.size()).unwrap();
        let promised = if step == 0 { first + second } else { all.len() };
        assert!(size == promised || size == all.len(), "case {case}: {size}");
        kept[usize::from(size == all.len())] += 1;
        log.append(&entries(3)).unwrap();
        log.checkpoint().unwrap();
        assert_eq!(damage(after.path()), None, "case {case}");
        let reader = LogReader::open(after.path()).unwrap();
        let known = portcullis_tlog::Checkpoint::open(&known, &signer().verifier()).unwrap();
        assert!(reader.continues(&known).unwrap(), "case {case}: what was signed stays");
        for (index, entry) in all.iter().enumerate().take(promised) {
            assert_eq!(&reader.entry(index as u64).unwrap(), entry, "case {case}");
        }
    }
    assert!(kept.iter().all(|count| *count > 100), "both ends are met: {kept:?}");
}

#[derive(Debug)]
struct Counting(std::sync::atomic::AtomicU64);
impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) {
        let next = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_be_bytes();
        out.iter_mut().rev().zip(next.iter().rev()).for_each(|(slot, byte)| *slot = *byte);
    }
}

fn login(secs: i64, addr: &str, user: &str, outcome: Outcome) -> Event {
    let entropy = Counting(std::sync::atomic::AtomicU64::new(secs as u64));
    let time = Timestamp::from_secs(secs);
    let origin = Origin {
        addr: ClientAddr::new(addr.parse().unwrap()),
        request_id: format!("req_{secs}"),
        user_agent: Some("test".into()),
        ..Origin::default()
    };
    let kind = Kind::Login(LoginAttempt {
        is_mfa: false,
        delayed: None,
        known_device: None,
        factor: "password",
        door: "login",
        session: None,
        password_fingerprint: Some(42),
    });
    let actor = Actor::User { id: format!("usr_{user}"), username: user.into() };
    Event::new(Id::new(time, &entropy), time, Some(origin), actor, outcome, kind)
}

#[tokio::test]
async fn events_are_found_by_time_subject_address_kind_and_outcome() {
    let dir = scratch();
    let audit = Audit::start(open(dir.path()), None, None).unwrap();
    let mut events = Vec::new();
    for second in 0..1_000 {
        let user = if second % 10 == 0 { "alice" } else { "bob" };
        let outcome =
            if second % 4 == 0 { Outcome::Failure("bad_password") } else { Outcome::Success };
        events.push(login(second, "2001:db8::1", user, outcome));
    }
    events.push(login(1_000, "192.0.2.9", "carol", Outcome::Success));
    audit.append(events).await.unwrap();
    audit.close().await;

    let log = LogReader::open(dir.path()).unwrap();
    let find = |filter: Filter| log.search(&Filter { limit: 5_000, ..filter }).unwrap().len();
    let at = |secs| Some(Timestamp::from_secs(secs));
    assert_eq!(find(Filter::default()), 1_001);
    assert_eq!(find(Filter { from: at(900), ..Filter::default() }), 101);
    assert_eq!(find(Filter { from: at(100), until: at(200), ..Filter::default() }), 100);
    assert_eq!(find(Filter { subjects: vec!["alice".into()], ..Filter::default() }), 100);
    assert_eq!(find(Filter { subjects: vec!["usr_carol".into()], ..Filter::default() }), 1);
    let whole_64 = AddrKey::parse("2001:db8::/64");
    assert_eq!(find(Filter { addr: whole_64, ..Filter::default() }), 1_000);
    assert_eq!(find(Filter { kind: Some("authn_login_fail".into()), ..Filter::default() }), 250);
    assert_eq!(
        find(Filter { kind: Some("authn_".into()), success: Some(true), ..Filter::default() }),
        751
    );
    assert_eq!(find(Filter { request_id: Some("req_77".into()), ..Filter::default() }), 1);
    assert_eq!(find(Filter { from_index: 999, ..Filter::default() }), 2);
    let network = |text: &str| Prefix::parse(text);
    assert_eq!(find(Filter { network: network("192.0.2.0/24"), ..Filter::default() }), 1);
    assert_eq!(find(Filter { network: network("2001:db8::/32"), ..Filter::default() }), 1_000);
    assert_eq!(find(Filter { text: Some("bad_password".into()), ..Filter::default() }), 250);
    assert_eq!(find(Filter { text: Some("\"".into()), ..Filter::default() }), 0, "it is a text");
    // In steps, whether by number or by what may be read.
    for (limit, most_bytes) in [(7, None), (5_000, Some(1)), (3, Some(300_000))] {
        let mut filter = Filter { kind: Some("authn_login_fail".into()), ..Filter::default() };
        (filter.limit, filter.most_bytes) = (limit, most_bytes);
        let mut seen = Vec::new();
        loop {
            let page = log.search_page(&filter).unwrap();
            seen.extend(page.found.iter().map(|found| found.index));
            let Some(next) = page.next else { break };
            assert!(next > filter.from_index || seen.is_empty());
            filter.from_index = next;
        }
        let all: Vec<u64> = (0..1_000).filter(|index| index % 4 == 0).collect();
        assert_eq!(seen, all);
        // And back.
        filter.from_index = 0;
        let mut seen = Vec::new();
        loop {
            let page = log.search_back(&filter).unwrap();
            seen.extend(page.found.iter().map(|found| found.index));
            let Some(next) = page.next else { break };
            assert!(filter.before.is_none_or(|before| next < before));
            filter.before = Some(next);
        }
        seen.reverse();
        assert_eq!(seen, all);
    }
    assert_eq!(log.search(&Filter { limit: 3, ..Filter::default() }).unwrap().len(), 3);
    let text = fs::read(dir.path().join("entries")).unwrap();
    assert!(!String::from_utf8_lossy(&text).contains("fingerprint"));
}

#[tokio::test]
async fn concurrent_callers_are_all_acknowledged_and_ordered() {
    let dir = scratch();
    let audit = Audit::start(open(dir.path()), None, None).unwrap();
    let calls: Vec<_> = (0..200)
        .map(|n| {
            let audit = audit.clone();
            tokio::spawn(async move {
                audit.append(vec![login(n, "192.0.2.1", "x", Outcome::Success)]).await
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    audit.checkpoint().await.unwrap();
    let report = verify(dir.path(), &signer().verifier()).unwrap();
    assert_eq!((report.entries, report.signed, report.damage), (200, 200, None));
    audit.close().await;
    let start = Event::new(
        Id::new(Timestamp::from_secs(1), &Counting(Default::default())),
        Timestamp::from_secs(1),
        None,
        Actor::System,
        Outcome::Success,
        Kind::Lifecycle(Lifecycle::Stopped),
    );
    assert!(audit.append(vec![start]).await.is_err());
}

/// An entry of the time of `n` minutes, as far as a search reads it.
fn dated(n: u64) -> Vec<u8> {
    let event = Event::new(
        Id::new(Timestamp::from_secs(1), &Counting(n.into())),
        Timestamp::from_secs(i64::try_from(n).unwrap() * 60),
        None,
        Actor::System,
        Outcome::Success,
        Kind::Lifecycle(Lifecycle::Gap { lost: n }),
    );
    portcullis_events::leaf(&event)
}

fn receipt(log: &str, minimum: u64) -> Vec<u8> {
    let removed = vec![Removed { log: log.into(), minimum }];
    let pruned = Pruned { removed, before: Timestamp::from_secs(1) };
    let event = Event::new(
        Id::new(Timestamp::from_secs(1), &Counting(9.into())),
        Timestamp::from_secs(90_000_000),
        None,
        Actor::System,
        Outcome::Success,
        Kind::Lifecycle(Lifecycle::Pruned(pruned)),
    );
    portcullis_events::leaf(&event)
}

fn dated_log(count: u64) -> (TempDir, LogWriter) {
    let dir = scratch();
    let mut log = open(dir.path());
    for batch in (0..count).map(dated).collect::<Vec<_>>().chunks(300) {
        log.append(batch).unwrap();
    }
    log.checkpoint().unwrap();
    (dir, log)
}

fn index_of(reader: &LogReader, kind: &str) -> Vec<u64> {
    let filter = Filter { kind: Some(kind.into()), limit: 9_999, ..Filter::default() };
    reader.search(&filter).unwrap().into_iter().map(|found| found.index).collect()
}

#[test]
fn what_is_removed_leaves_a_tree_that_still_proves_itself() {
    let (dir, mut log) = dated_log(2_000);
    let reader = LogReader::open(dir.path()).unwrap();
    let old = (reader.prove(100, &signer().verifier()).unwrap(), reader.entry(100).unwrap());
    // Minute 1000 is in the bundle of 768 to 1023.
    let removable = |reader: &LogReader, minute: i64, closed| {
        reader.removable(Timestamp::from_secs(minute * 60), closed, &signer().verifier()).unwrap()
    };
    assert_eq!(removable(&reader, 1_000, false), 768);
    assert_eq!(removable(&reader, 1_024, false), 1_024);
    assert_eq!(removable(&reader, 1_023, true), 768);
    // What is old altogether keeps its newest bundle while it grows.
    assert_eq!(removable(&reader, 9_000, false), 1_792);
    assert_eq!(removable(&reader, 9_000, true), 2_000);

    log.append(&[receipt("log.example/2026", 768)]).unwrap();
    log.checkpoint().unwrap();
    prune(dir.path(), 768, 2_000).unwrap();
    prune(dir.path(), 512, 2_000).unwrap();
    let report = verify(dir.path(), &signer().verifier()).unwrap();
    assert_eq!((report.entries, report.minimum, report.damage), (2_001, 768, None));

    // Who has it open already learns of it too.
    for reader in [&reader, &LogReader::open(dir.path()).unwrap()] {
        assert!(matches!(reader.entry(767), Err(LogError::Removed { minimum: 768 })));
        assert_eq!(reader.entry(768).unwrap(), dated(768));
    }
    let bytes = fs::read(dir.path().join("entries")).unwrap();
    let told = |n: u64| memchr::memmem::find(&bytes, format!("lost_events\":{n}}}").as_bytes());
    assert!(told(767).is_none() && told(0).is_none() && told(768).is_some());
    old.0.verify(&old.1, &signer().verifier()).unwrap();
    let reader = LogReader::open(dir.path()).unwrap();
    let again = reader.prove(100, &signer().verifier()).unwrap();
    again.verify(&old.1, &signer().verifier()).unwrap();
    assert_eq!(index_of(&reader, "sys_event_gap"), (768..2_000).collect::<Vec<_>>());
    let size = reader.signed_size().unwrap();
    let bundle = |index| TileName { level: None, index, width: None };
    assert_eq!(reader.resource(bundle(2), size).unwrap(), None);
    assert!(reader.resource(bundle(3), size).unwrap().is_some());
    let hashes = TileName { level: Some(0), index: 2, width: None };
    assert_eq!(reader.resource(hashes, size).unwrap().unwrap().len(), 8_192);

    // It goes on, also after a restart.
    drop(log);
    let mut log = open(dir.path());
    log.append(&[dated(3_000)]).unwrap();
    log.checkpoint().unwrap();
    assert_eq!(damage(dir.path()), None);
    // The hashes of what is gone are held against what was signed.
    flip(&dir.path().join("level-0"), 100 * 32);
    assert!(matches!(damage(dir.path()), Some(Damage::Between { .. })));
}

#[test]
fn nothing_is_called_removed_that_was_not() {
    let (dir, mut log) = dated_log(1_000);
    prune(dir.path(), 512, 0).unwrap();
    assert_eq!(damage(dir.path()), Some(Damage::Removed { minimum: 512, allowed: 0 }));
    // A receipt that is of another log, or of less, or signed by nobody, is none.
    log.append(&[receipt("other.example/2026", 768), receipt("log.example/2026", 256)]).unwrap();
    log.checkpoint().unwrap();
    assert_eq!(damage(dir.path()), Some(Damage::Removed { minimum: 512, allowed: 256 }));
    log.append(&[receipt("log.example/2026", 512)]).unwrap();
    assert_eq!(damage(dir.path()), Some(Damage::Removed { minimum: 512, allowed: 256 }));
    log.checkpoint().unwrap();
    assert_eq!(damage(dir.path()), None);
    // A minimum within a bundle, or one that cannot be read.
    assert!(prune(dir.path(), 700, 0).is_err());
    fs::write(dir.path().join("minimum"), "99999999 1000").unwrap();
    // The receipt itself would be gone.
    let claimed = Damage::Removed { minimum: 1_003, allowed: 0 };
    assert_eq!(damage(dir.path()), Some(claimed));
    fs::write(dir.path().join("minimum"), "many").unwrap();
    assert!(LogReader::open(dir.path()).is_err());
}

fn signer_of(year: &str) -> NoteSigner {
    NoteSigner::new(&format!("log.example/{year}"), &[7; 32]).unwrap()
}

fn check(root: &Path) -> Result<(), LogError> {
    Logs::open(root)?.check(|year| Ok(signer_of(year).verifier()))
}

/// Three years: 300, 400 and 200 events, and what each but the first begins with.
fn three_years() -> (TempDir, LogWriter) {
    let root = scratch();
    let mut log = LogWriter::open(&root.path().join("2026"), signer_of("2026")).unwrap();
    let mut written = 0;
    for (year, count) in [("2026", 300), ("2027", 400), ("2028", 200)] {
        if year != "2026" {
            log.rotate(root.path(), year, signer_of(year)).unwrap();
        }
        log.append(&(written..written + count).map(dated).collect::<Vec<_>>()).unwrap();
        written += count;
    }
    log.checkpoint().unwrap();
    (root, log)
}

#[test]
fn the_logs_of_years_are_read_and_verified_as_one() {
    let (root, _log) = three_years();
    let logs = Logs::open(root.path()).unwrap();
    assert_eq!(logs.size(), 902);
    assert_eq!(newest_log(root.path()).unwrap().unwrap(), root.path().join("2028"));
    // 300 is what 2027 begins with, 701 what 2028 does.
    let link = logs.entry(300).unwrap();
    assert_eq!(link, fs::read(root.path().join("2026/checkpoint")).unwrap());
    for (position, event) in [(299, 299), (301, 300), (700, 699), (702, 700), (901, 899)] {
        assert_eq!(logs.entry(position).unwrap(), dated(event), "{position}");
        let proof = logs.prove(position).unwrap().unwrap();
        let year =
            ["2026", "2027", "2028"][usize::from(position > 300) + usize::from(position > 701)];
        proof.verify(&dated(event), &signer_of(year).verifier()).unwrap();
    }
    assert!(logs.prove(902).unwrap().is_none() && logs.entry(902).is_err());

    // One by one through everything, as a sink goes.
    let (mut next, mut seen, mut links) = (0, 0, 0);
    loop {
        let entries = logs.bundle_from(next).unwrap();
        let Some(last) = entries.last() else { break };
        assert_eq!(entries[0].position, next);
        next = last.position + 1;
        for entry in entries {
            if entry.is_link() {
                links += 1;
            } else {
                assert_eq!(entry.bytes, dated(seen));
                seen += 1;
            }
        }
    }
    assert_eq!((next, seen, links), (902, 900, 2));

    // Pages of any size find the same.
    for limit in [1, 7, 299, 300, 301, 5_000] {
        let mut filter = Filter { kind: Some("sys_".into()), limit, ..Filter::default() };
        let mut found = Vec::new();
        loop {
            let page = logs.search_page(&filter).unwrap();
            assert!(page.found.len() <= limit);
            found.extend(page.found.into_iter().map(|one| one.index));
            let Some(next) = page.next else { break };
            filter.from_index = next;
        }
        let all: Vec<u64> = (0..902).filter(|position| ![300, 701].contains(position)).collect();
        assert_eq!(found, all, "{limit}");
        filter.from_index = 0;
        let mut found = Vec::new();
        loop {
            let page = logs.search_back(&filter).unwrap();
            assert!(page.found.len() <= limit);
            found.extend(page.found.into_iter().map(|one| one.index));
            filter.before = page.next;
            if filter.before.is_none() {
                break;
            }
        }
        found.reverse();
        assert_eq!(found, all, "{limit}, newest first");
    }
    let at = |minute: i64| Some(Timestamp::from_secs(minute * 60));
    for (from, until) in [(None, at(100)), (at(350), at(360)), (at(895), None), (at(2_000), None)] {
        let filter = Filter { from, until, limit: 5_000, ..Filter::default() };
        let indices = |page: Page| page.found.iter().map(|one| one.index).collect::<Vec<_>>();
        let mut back = indices(logs.search_back(&filter).unwrap());
        back.reverse();
        assert_eq!(back, indices(logs.search_page(&filter).unwrap()), "{from:?} {until:?}");
    }
    let late =
        Filter { from: Some(Timestamp::from_secs(895 * 60)), limit: 50, ..Filter::default() };
    assert_eq!(logs.search_page(&late).unwrap().found.len(), 5);

    // Whoever noted down the key of any year can verify all of them.
    for trusted in [None, Some("2026"), Some("2028")] {
        let trusted = trusted.map(|year| signer_of(year).verifier());
        let reports = verify_all(root.path(), trusted.as_ref()).unwrap();
        let told: Vec<_> = reports.iter().map(|r| (&*r.origin, r.entries, &r.damage)).collect();
        let sound = [
            ("log.example/2026", 300, &None),
            ("log.example/2027", 401, &None),
            ("log.example/2028", 201, &None),
        ];
        assert_eq!(told, sound);
    }
    for stranger in [
        NoteSigner::new("log.example/2026", &[8; 32]).unwrap(),
        NoteSigner::new("other.example/2026", &[7; 32]).unwrap(),
    ] {
        let reports = verify_all(root.path(), Some(&stranger.verifier())).unwrap();
        assert!(reports.iter().all(|report| report.damage.is_some()));
    }
}

#[test]
fn an_event_is_found_by_its_id_and_time_and_proven() {
    let (root, mut log) = three_years();
    let id = |n: u64| {
        Id::<portcullis_types::tags::Event>::new(Timestamp::from_secs(1), &Counting(n.into()))
    };
    let at = |n: u64| Timestamp::from_secs(i64::try_from(n).unwrap() * 60);
    let logs = Logs::open(root.path()).unwrap();
    for (n, year) in [(0, "2026"), (299, "2026"), (300, "2027"), (555, "2027"), (899, "2028")] {
        let found = logs.prove_event(&id(n).to_string(), at(n)).unwrap().unwrap();
        assert_eq!(found.entry, dated(n));
        assert_eq!(found.vkey, signer_of(year).verifier().vkey());
        found.proof.verify(&dated(n), &signer_of(year).verifier()).unwrap();
    }
    assert!(logs.prove_event(&id(900).to_string(), at(5)).unwrap().is_none());
    assert!(logs.prove_event(&id(5).to_string(), at(899)).unwrap().is_none(), "it was before");

    // Whoever names an event is not the event, and what no checkpoint covers has no proof yet.
    let wanted = id(2_000).to_string();
    let naming = Event::new(
        id(1_999),
        at(2_000),
        None,
        Actor::User { id: wanted.clone(), username: String::new() },
        Outcome::Success,
        Kind::Lifecycle(Lifecycle::Gap { lost: 1 }),
    );
    log.append(&[portcullis_events::leaf(&naming), dated(2_000)]).unwrap();
    assert!(Logs::open(root.path()).unwrap().prove_event(&wanted, at(2_000)).unwrap().is_none());
    log.checkpoint().unwrap();
    let logs = Logs::open(root.path()).unwrap();
    let found = logs.prove_event(&wanted, at(2_000)).unwrap().unwrap();
    assert_eq!(found.entry, dated(2_000));
}

#[test]
fn a_year_cannot_be_exchanged_or_taken_out() {
    let damages = |root: &Path| -> Vec<Option<Damage>> {
        verify_all(root, None).unwrap().into_iter().map(|report| report.damage).collect()
    };
    // The first one: the next began with it.
    let (root, _log) = three_years();
    fs::remove_dir_all(root.path().join("2026")).unwrap();
    assert_eq!(damages(root.path()), [Some(Damage::Unchained), None]);
    // The middle one.
    let (root, log) = three_years();
    fs::remove_dir_all(root.path().join("2027")).unwrap();
    assert_eq!(damages(root.path()), [None, Some(Damage::Unchained)]);
    assert!(matches!(check(root.path()), Err(LogError::Unchained(_))));
    drop(log);
    // One with the same key and name, and other entries.
    let (root, log) = three_years();
    drop(log);
    fs::remove_dir_all(root.path().join("2026")).unwrap();
    let mut other = LogWriter::open(&root.path().join("2026"), signer_of("2026")).unwrap();
    other.append(&(0..300).map(|n| dated(n + 1)).collect::<Vec<_>>()).unwrap();
    other.checkpoint().unwrap();
    assert_eq!(damages(root.path()), [None, Some(Damage::Unchained), None]);
    assert!(matches!(check(root.path()), Err(LogError::Unchained(_))));
    // More in a year after it was closed.
    let (root, log) = three_years();
    drop(log);
    let mut closed = LogWriter::open(&root.path().join("2027"), signer_of("2027")).unwrap();
    closed.append(&[dated(1)]).unwrap();
    closed.checkpoint().unwrap();
    drop(closed);
    assert!(matches!(check(root.path()), Err(LogError::Unchained(_))));
    assert_eq!(damages(root.path()), [None, None, Some(Damage::Unchained)]);
}

#[test]
fn what_was_removed_of_a_closed_year_is_said_in_a_later_one() {
    let (root, mut log) = three_years();
    prune(&root.path().join("2026"), 300, 903).unwrap();
    let damage = |root: &Path| verify_all(root, None).unwrap().remove(0).damage;
    assert_eq!(damage(root.path()), Some(Damage::Removed { minimum: 300, allowed: 0 }));
    assert!(matches!(check(root.path()), Err(LogError::Unproven { minimum: 300, .. })));
    log.append(&[receipt("other.example/2026", 300), receipt("log.example/2026", 300)]).unwrap();
    assert!(matches!(check(root.path()), Err(LogError::Unproven { .. })), "nobody signed it");
    log.checkpoint().unwrap();
    assert_eq!(damage(root.path()), None);
    check(root.path()).unwrap();
    let logs = Logs::open(root.path()).unwrap();
    assert!(matches!(logs.bundle_from(7), Err(LogError::Removed { minimum: 300 })));
    assert!(logs.leaf(7).is_ok());
    let first = logs.search_page(&Filter { limit: 1, ..Filter::default() }).unwrap();
    assert_eq!(first.found[0].index, 301);
    let all_of = |year: &str| {
        let part = logs.parts().find(|(_, dir)| dir.ends_with(year)).unwrap().0;
        let late = Timestamp::from_secs(9_999_999);
        part.removable(late, true, &signer_of(year).verifier()).unwrap()
    };
    // Once all is gone there is nothing more to remove.
    assert_eq!((all_of("2026"), all_of("2027")), (300, 401));
    // The whole of the next one too: what it began with is known by its hash.
    let both = Pruned {
        removed: [("2026", 300), ("2027", 401)]
            .map(|(year, minimum)| Removed { log: format!("log.example/{year}"), minimum })
            .into(),
        before: Timestamp::from_secs(1),
    };
    let kind = Kind::Lifecycle(Lifecycle::Pruned(both));
    let id = Id::new(Timestamp::from_secs(1), &Counting(3.into()));
    let time = Timestamp::from_secs(90_000_000);
    let both = Event::new(id, time, None, Actor::System, Outcome::Success, kind);
    log.append(&[portcullis_events::leaf(&both)]).unwrap();
    log.checkpoint().unwrap();
    for (year, minimum) in [("2026", 300), ("2027", 401)] {
        prune(&root.path().join(year), minimum, 904).unwrap();
    }
    check(root.path()).unwrap();
    assert!(verify_all(root.path(), None).unwrap().iter().all(|report| report.damage.is_none()));
    let logs = Logs::open(root.path()).unwrap();
    assert_eq!(logs.size(), 905);
    assert!(matches!(logs.bundle_from(0), Err(LogError::Removed { minimum: 300 })));
    assert!(matches!(logs.bundle_from(300), Err(LogError::Removed { minimum: 701 })));
    assert_eq!(logs.entry(702).unwrap(), dated(700));
}

#[test]
fn a_year_that_was_begun_and_not_finished_is_begun_anew() {
    let root = scratch();
    let mut log = LogWriter::open(&root.path().join("2026"), signer_of("2026")).unwrap();
    log.append(&[dated(1)]).unwrap();
    // What a crash leaves.
    let mut half = LogWriter::open(&root.path().join("2027.new"), signer_of("2027")).unwrap();
    half.append(&[dated(5)]).unwrap();
    drop(half);
    assert_eq!(newest_log(root.path()).unwrap().unwrap(), root.path().join("2026"));
    log.append(&[dated(2)]).unwrap();
    log.rotate(root.path(), "2027", signer_of("2027")).unwrap();
    log.append(&(0..600).map(dated).collect::<Vec<_>>()).unwrap();
    log.checkpoint().unwrap();
    assert!(verify_all(root.path(), None).unwrap().iter().all(|report| report.damage.is_none()));
    assert_eq!(Logs::open(root.path()).unwrap().size(), 603);
    assert!(!root.path().join("2027.new").exists());
}

/// Whoever can write the files while the service runs gets no signature for it.
#[test]
fn what_is_signed_is_what_was_written() {
    let (dir, mut log) = dated_log(1_000);
    // An entry of the same length, and every hash above it made to fit.
    let other = LogWriter::open(&dir.path().join("other"), signer()).unwrap();
    drop(other);
    let mut forged = LogWriter::open(&dir.path().join("forged"), signer()).unwrap();
    let all = (0..1_000).map(|n| dated(if n == 5 { 6 } else { n })).collect::<Vec<_>>();
    forged.append(&all).unwrap();
    drop(forged);
    for name in ["entries", "level-0", "level-1"] {
        let bytes = fs::read(dir.path().join("forged").join(name)).unwrap();
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    log.append(&[dated(1_000)]).unwrap();
    assert!(matches!(log.checkpoint(), Err(LogError::Rewritten { size: 1_001 })));
    assert!(matches!(log.append(&[dated(1)]), Err(LogError::Poisoned)));
    drop(log);
    assert!(matches!(LogWriter::open(dir.path(), signer()), Err(LogError::Rewritten { .. })));
}

/// An older checkpoint put in the place of the newest does not become what the next year begins with.
#[test]
fn a_year_begins_with_what_was_signed_last() {
    let root = scratch();
    let first = root.path().join("2026");
    let mut log = LogWriter::open(&first, signer_of("2026")).unwrap();
    log.append(&[dated(1)]).unwrap();
    log.checkpoint().unwrap();
    let old = fs::read(first.join("checkpoint")).unwrap();
    log.append(&[dated(2)]).unwrap();
    log.checkpoint().unwrap();
    let newest = fs::read(first.join("checkpoint")).unwrap();
    fs::write(first.join("checkpoint"), &old).unwrap();
    log.rotate(root.path(), "2027", signer_of("2027")).unwrap();
    assert_eq!(Logs::open(root.path()).unwrap().entry(2).unwrap(), newest);
    check(root.path()).unwrap();
}

/// Nobody has entries removed by giving them another time.
#[test]
fn what_is_removed_is_held_against_the_tree() {
    let (dir, _log) = dated_log(1_000);
    let removable = || {
        let reader = LogReader::open(dir.path()).unwrap();
        reader.removable(Timestamp::from_secs(300 * 60), false, &signer().verifier())
    };
    assert_eq!(removable().unwrap(), 256);
    let path = dir.path().join("entries");
    let mut bytes = fs::read(&path).unwrap();
    // Minutes 300 to 599, made to be of the first hour.
    for n in 300..600 {
        let (from, to) = (format!("\"time\":{}", n * 60_000), format!("\"time\":{:0>1$}", 0, 8));
        let at = memchr::memmem::find(&bytes, from.as_bytes()).unwrap();
        let to = to.replace(":0", ":1");
        bytes[at..at + from.len()].copy_from_slice(&to.as_bytes()[..from.len()]);
    }
    fs::write(&path, bytes).unwrap();
    assert!(matches!(removable(), Err(LogError::Entry(_))));
}

/// What was appended to the files of a stopped service is not signed at the next start.
#[test]
fn what_somebody_else_wrote_behind_the_last_checkpoint_is_not_signed() {
    let (dir, log) = dated_log(300);
    drop(log);
    // With the same code and every checksum right, but without the key.
    let forger = scratch();
    let stranger = NoteSigner::new("log.example/2026", &[8; 32]).unwrap();
    let mut forged = LogWriter::open(forger.path(), stranger).unwrap();
    for batch in (0..300).map(dated).collect::<Vec<_>>().chunks(300) {
        forged.append(batch).unwrap();
    }
    forged.append(&[receipt("log.example/2026", 256)]).unwrap();
    drop(forged);
    for name in ["entries", "journal"] {
        fs::copy(forger.path().join(name), dir.path().join(name)).unwrap();
    }
    assert_eq!(LogReader::open(dir.path()).unwrap().size(), 301);
    let opened = LogWriter::open(dir.path(), signer());
    assert!(matches!(opened, Err(LogError::Rewritten { size: 301 })));
}

/// Where bundles begin is in a file that nobody signs.
#[test]
fn a_bundle_that_was_made_shorter_is_not_removed() {
    let (root, mut log) = three_years();
    log.append(&(900..1_500).map(dated).collect::<Vec<_>>()).unwrap();
    log.checkpoint().unwrap();
    let year = root.path().join("2028");
    let removable = || {
        let reader = LogReader::open(&year).unwrap();
        reader.removable(Timestamp::from_secs(1), false, &signer_of("2028").verifier())
    };
    assert_eq!(removable().unwrap(), 0);
    // The first bundle: the link alone, which has no time.
    let link = fs::read(root.path().join("2027/checkpoint")).unwrap().len() as u64 + 2;
    let mut offsets = fs::read(year.join("offsets")).unwrap();
    offsets[8..16].copy_from_slice(&link.to_be_bytes());
    fs::write(year.join("offsets"), offsets).unwrap();
    assert!(matches!(removable(), Err(LogError::Entry(0))));
}

/// A disk without room for hashes stops nothing that was acknowledged, and nothing after it.
#[test]
fn hashes_that_could_not_be_written_are_written_later() {
    let (dir, mut log) = dated_log(10);
    // No room: the file of the next level cannot be made.
    fs::create_dir(dir.path().join("level-1")).unwrap();
    log.append(&(10..300).map(dated).collect::<Vec<_>>()).unwrap();
    assert!(log.append(&[dated(300)]).is_err() && log.checkpoint().is_err());
    fs::remove_dir(dir.path().join("level-1")).unwrap();
    log.append(&[dated(300)]).unwrap();
    log.checkpoint().unwrap();
    assert_eq!(damage(dir.path()), None);
    assert_eq!(LogReader::open(dir.path()).unwrap().size(), 301);
}
