//! How long a pair takes: `cargo run --release -p portcullis-screening --example pair_time -- FILE [ROUNDS]`.
//! Once with reading both names, as `portcullis aml compare` does, once with names that are read already, as
//! a list holds them.
#![allow(
    missing_docs,
    clippy::allow_attributes,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "measures time and prints it"
)]

use std::{env, error::Error, fs, hint::black_box, time::Instant};

use portcullis_screening::{Pair, Policy, Profile, score};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let text = fs::read_to_string(arguments.next().ok_or("a file of pairs")?)?;
    let rounds: usize = arguments.next().map_or(Ok(5), |rounds| rounds.parse())?;
    let policy = Policy::balanced();
    let pairs = text.lines().map(Pair::parse).collect::<Result<Vec<_>, _>>()?;
    let mut whole = Vec::with_capacity(pairs.len() * rounds);
    let mut compared = Vec::with_capacity(pairs.len() * rounds);
    for _ in 0..rounds {
        for pair in &pairs {
            let start = Instant::now();
            black_box(pair.score(&policy));
            whole.push(start.elapsed().as_nanos());
            let (left, right) = (
                Profile::beside(&pair.left, pair.right.schema),
                Profile::beside(&pair.right, pair.left.schema),
            );
            let start = Instant::now();
            black_box(score(&left, &right, &policy));
            compared.push(start.elapsed().as_nanos());
        }
    }
    for (what, mut times) in [("read and compared", whole), ("compared", compared)] {
        times.sort_unstable();
        let at = |share: f64| {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a place in the list"
            )]
            let place = (times.len() as f64 * share) as usize;
            f64::from(u32::try_from(times[place.min(times.len() - 1)]).unwrap_or(u32::MAX)) / 1000.0
        };
        println!(
            "{what}: p50 {:.1} us, p95 {:.1} us, p99 {:.1} us, worst {:.1} us",
            at(0.5),
            at(0.95),
            at(0.99),
            at(1.0)
        );
    }
    Ok(())
}
