//! Times the verification of the chips that the tests have: `chip_time`.
#![allow(
    missing_docs,
    clippy::allow_attributes,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "measures time and prints it"
)]

use std::{error::Error, time::Instant};

use data_encoding::BASE64;
use portcullis_documents::{
    Certificate, Trust,
    chip::{Files, passive},
};
use serde_json::Value;

const RUNS: usize = 300;

fn bytes(value: &Value) -> Result<Vec<u8>, Box<dyn Error>> {
    Ok(BASE64.decode(value.as_str().ok_or("text")?.as_bytes())?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let made = include_bytes!("../tests/chips.json.zlib");
    let made = miniz_oxide::inflate::decompress_to_vec_zlib(made).map_err(|_| "compressed")?;
    let made: Value = serde_json::from_slice(&made)?;
    for chip in made["chips"].as_array().into_iter().flatten() {
        let name = chip["name"].as_str().unwrap_or_default();
        let measured = ["sixteen groups", "RSA PSS sha256 salt 32", "as issued"];
        if !measured.contains(&name) && !name.contains("explicit") {
            continue;
        }
        let mut files = Files { sod: bytes(&chip["sod"])?, ..Files::default() };
        for (number, file) in chip["data_groups"].as_object().into_iter().flatten() {
            files.groups.insert(number.parse()?, bytes(file)?);
        }
        let mut trust = Trust::new();
        for anchor in chip["anchors"].as_array().into_iter().flatten() {
            trust.admit(Certificate::read(&bytes(anchor)?)?)?;
        }
        let now = chip["now"].as_i64().unwrap_or(0);
        let mut times: Vec<_> = (0..RUNS)
            .map(|_| {
                let start = Instant::now();
                let found = passive(&files, &trust, now);
                assert!(!found.failed(), "{name}");
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        println!("{name}: median {:?}, p99 {:?}", times[RUNS / 2], times[RUNS * 99 / 100]);
    }
    Ok(())
}
