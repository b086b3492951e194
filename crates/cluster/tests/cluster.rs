//! Limits, blocks and revocations through their public interface.

use std::time::Duration;

use portcullis_cluster::{Block, Blocks, Decision, Limiter, Rate, Replays, Revocations, Revoked};
use portcullis_testkit::{START, SeededEntropy};
use portcullis_types::{ClientAddr, Prefix};
use proptest::prelude::*;

const FIVE: Rate = Rate { count: 5, per: Duration::from_secs(60) };
const QUARTER: Option<Duration> = Some(Duration::from_secs(900));

fn limiter() -> Limiter {
    Limiter::new(&*SeededEntropy::new(1))
}

fn allowed(decision: Decision) -> bool {
    matches!(decision, Decision::Allowed { .. })
}

#[test]
fn the_sixth_is_refused_and_the_block_does_not_move() {
    let limiter = limiter();
    let key: &[&[u8]] = &[b"login", b"192.0.2.1"];
    for left in (0..5).rev() {
        let decision = limiter.count(key, FIVE, QUARTER, START);
        assert!(matches!(decision, Decision::Allowed { remaining, .. } if remaining == left));
    }
    let began = limiter.count(key, FIVE, QUARTER, START);
    assert_eq!(
        began,
        Decision::Refused { retry_after: Duration::from_secs(900), block_began: true }
    );
    let later = START.plus(Duration::from_secs(600));
    let still = limiter.count(key, FIVE, QUARTER, later);
    assert_eq!(
        still,
        Decision::Refused { retry_after: Duration::from_secs(300), block_began: false }
    );
    let after = START.plus(Duration::from_secs(900));
    assert!(allowed(limiter.count(key, FIVE, QUARTER, after)));
    assert!(allowed(limiter.count(&[b"login", b"192.0.2.2"], FIVE, QUARTER, START)));
}

/// A machine's clock may be set back by its time service, or when it wakes from a snapshot.
#[test]
fn a_clock_that_is_set_back_locks_nobody_out() {
    let limiter = limiter();
    let key: &[&[u8]] = &[b"login", b"192.0.2.1"];
    for _ in 0..5 {
        assert!(allowed(limiter.count(key, FIVE, None, START)));
    }
    assert!(!allowed(limiter.count(key, FIVE, None, START)));
    let back = |secs| START.minus(Duration::from_secs(secs));
    assert!(!allowed(limiter.count(key, FIVE, None, START)), "nothing was set");
    // Requests come later than they began: that is no clock that was set.
    assert!(!allowed(limiter.count(key, FIVE, None, back(1))));
    assert!(!allowed(limiter.count(key, FIVE, None, START)));
    assert!(allowed(limiter.count(key, FIVE, None, back(86_400))));
    // A block is no longer from then than it ever was.
    let seen: Vec<bool> =
        (0..6).map(|_| allowed(limiter.count(key, FIVE, QUARTER, START))).collect();
    assert_eq!(seen, [true, true, true, true, true, false]);
    let Decision::Refused { retry_after, .. } = limiter.count(key, FIVE, QUARTER, back(3_600))
    else {
        unreachable!("a block ends by time alone");
    };
    assert_eq!(retry_after, Duration::from_secs(900));
    assert_eq!(limiter.blocked_for(key, back(3_600)), Some(Duration::from_secs(900)));
    assert!(!allowed(limiter.look(key, FIVE, back(3_600))));
    // And it passes, whoever asks.
    assert_eq!(limiter.blocked_for(key, back(2_800)), Some(Duration::from_secs(100)));
    assert_eq!(limiter.blocked_for(key, back(2_700)), None);
    assert!(allowed(limiter.look(key, FIVE, back(2_700))));
    let other: &[&[u8]] = &[b"login", b"192.0.2.2"];
    limiter.restore_block(other, START.plus(Duration::from_secs(900)), START);
    assert!(!allowed(limiter.look(other, FIVE, back(86_400))));
    assert!(allowed(limiter.look(other, FIVE, back(85_500))), "looking alone is enough");
}

#[test]
fn a_lifted_block_is_forgotten_and_a_stored_one_comes_back() {
    let limiter = limiter();
    let key: &[&[u8]] = &[b"login", b"a"];
    limiter.restore_block(key, START.plus(Duration::from_secs(60)), START);
    assert_eq!(limiter.blocked_for(key, START), Some(Duration::from_secs(60)));
    assert!(!allowed(limiter.count(key, FIVE, QUARTER, START)));
    limiter.forget(key);
    assert!(allowed(limiter.count(key, FIVE, QUARTER, START)));
}

/// A flood of keys that an attacker chooses does not push out a block.
#[test]
fn a_key_flood_does_not_flush_a_block() {
    let limiter = Limiter::with_keys(1 << 12, &*SeededEntropy::new(2));
    let victim: &[&[u8]] = &[b"login", b"victim"];
    for _ in 0..6 {
        limiter.count(victim, FIVE, QUARTER, START);
    }
    for n in 0..200_000_u32 {
        limiter.count(&[b"login", &n.to_be_bytes()], FIVE, QUARTER, START);
    }
    assert!(!allowed(limiter.count(victim, FIVE, QUARTER, START)));
}

#[test]
fn rates_are_read_strictly() {
    assert_eq!("5/min".parse(), Ok(FIVE));
    for bad in [
        "",
        "5",
        "/min",
        "0/min",
        "-1/min",
        "+5/min",
        "5/min ",
        "5/fortnight",
        "1e3/s",
        "1000001/s",
    ] {
        assert!(bad.parse::<Rate>().is_err(), "{bad}");
    }
}

proptest! {
    /// In no window of the period do more than twice the count pass (burst plus refill), and over
    /// a long time no more than the rate.
    #[test]
    fn no_more_than_the_rate_passes(steps in proptest::collection::vec(0u64..30, 1..200)) {
        let limiter = limiter();
        let (mut now, mut passed) = (START, 0u64);
        for step in &steps {
            now = now.plus(Duration::from_secs(*step));
            passed += u64::from(allowed(limiter.count(&[b"k"], FIVE, None, now)));
        }
        let seconds = now.since(START).as_secs();
        prop_assert!(passed <= 5 + seconds * 5 / 60 + 1);
    }
}

#[test]
fn blocks_cover_the_whole_64_and_end() {
    let blocks = Blocks::default();
    let block = Block { id: "blk".into(), until: START.plus(Duration::from_secs(60)) };
    blocks.insert(Prefix::parse("2001:db8::1").unwrap(), &block);
    let neighbour = ClientAddr::new("2001:db8::ffff:1".parse().unwrap());
    assert_eq!(blocks.find(neighbour, START), Some(block.clone()));
    assert_eq!(blocks.find(neighbour, block.until), None);
}

#[test]
fn blocks_of_several_lengths_are_found() {
    let blocks = Blocks::default();
    let block = |id: &str| Block { id: id.into(), until: START.plus(Duration::from_secs(60)) };
    for network in ["192.0.2.0/24", "198.51.100.7", "2001:db8::/48"] {
        blocks.insert(Prefix::parse(network).unwrap(), &block(network));
    }
    let found = |addr: &str| {
        blocks.find(ClientAddr::new(addr.parse().unwrap()), START).map(|block| block.id)
    };
    assert_eq!(found("192.0.2.9").as_deref(), Some("192.0.2.0/24"));
    assert_eq!(found("198.51.100.7").as_deref(), Some("198.51.100.7"));
    assert_eq!(found("198.51.100.8"), None);
    assert_eq!(found("2001:db8:0:ff::1").as_deref(), Some("2001:db8::/48"));
    assert_eq!(found("2001:db8:1::1"), None);
}

#[test]
fn revocations_void_what_was_issued_before() {
    let revocations = Revocations::new(&*SeededEntropy::new(3));
    let hour = Duration::from_secs(3_600);
    revocations.add(Revoked::Subject("usr_1"), START, START.plus(hour), START);
    let at = |secs: u64| START.plus(Duration::from_secs(secs));
    assert!(revocations.contains(&[Revoked::Token("t"), Revoked::Subject("usr_1")], START));
    assert!(!revocations.contains(&[Revoked::Subject("usr_1")], at(1)));
    assert!(!revocations.contains(&[Revoked::Grant("usr_1")], START), "kinds are apart");
}

#[test]
fn what_was_seen_is_known_for_its_whole_life_and_forgotten_after() {
    let life = Duration::from_secs(90);
    for offset in [0, 1, 45, 89, 90, 91, 179] {
        let replays = Replays::new(life, &*SeededEntropy::new(1));
        replays.first(&["before"], START);
        let seen = START.plus(Duration::from_secs(offset));
        assert!(replays.first(&["key", "one"], seen));
        for later in (0..=90).step_by(15) {
            let now = seen.plus(Duration::from_secs(later));
            assert!(!replays.first(&["key", "one"], now), "{offset} {later}");
        }
        assert!(replays.first(&["key", "two"], seen) && replays.first(&["keyo", "ne"], seen));
        assert!(replays.first(&["key", "one"], seen.plus(life * 4)));
    }
}

#[test]
fn a_flood_does_not_grow_what_is_remembered() {
    let replays = Replays::new(Duration::from_secs(90), &*SeededEntropy::new(1));
    for number in 0..200_000 {
        assert!(replays.first(&[&number.to_string()], START));
    }
    assert!(!replays.first(&["199999"], START) && replays.first(&["0"], START));
}
