//! Prints what the detectors find, miss and hinder.

use std::process::ExitCode;

use portcullis_simulator::{score, script, world::World};
use portcullis_threat::Rules;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<u64>());
    let mut number = |default| numbers.next().and_then(Result::ok).unwrap_or(default);
    let (people, times, seed) = (number(20_000), number(20), number(1));
    let world = World { people, days: 3 };
    let script = script(world, times, seed);
    let score = score::run(&script, Rules::default());
    say(&format!("{people} people, 3 days, each attack {times} times, seed {seed}\n\n{score}"));
    for (what, texts) in [("missed", &score.missed), ("about nothing", &score.wrong)] {
        for text in texts.iter().take(12) {
            say(&format!("{what}: {text}"));
        }
    }
    let good = score.recall() >= 0.99 && score.collateral() <= 0.001 && score.blocked_offices == 0;
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn say(text: &str) {
    println!("{text}");
}
