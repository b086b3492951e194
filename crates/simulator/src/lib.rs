//! Attacks with known truth among the traffic of people who may: what the detectors find, what they
//! miss, whom they hinder. `cargo xtask simulate` prints it.

pub mod attacks;
pub mod chance;
pub mod score;
pub mod script;
pub mod world;

use chance::Chance;
use script::Script;
use world::World;

/// Everything that happens in `world`, with every attack `times` times.
pub fn script(world: World, times: u64, seed: u64) -> Script {
    let chance = Chance::new(seed);
    let mut script = Script::default();
    world::good_people(world, &chance, &mut script);
    world::travellers(world, &chance, &mut script);
    attacks::all(world, times, &chance, &mut script);
    script.sorted()
}
