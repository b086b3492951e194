//! `cargo xtask up`, `cargo xtask test` and `cargo xtask tidy`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool that talks to its user")]
#![expect(clippy::disallowed_methods, reason = "a tool that reads its environment and clock")]

mod console;
mod run;
mod test;
mod tidy;
mod up;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.filter(|arg| arg != "--").collect();
    let result = match command.as_str() {
        "up" => up::run(&rest),
        "test" => test::run(&rest),
        "simulate" => simulate(&rest),
        "tidy" => tidy::run(),
        _ => {
            eprintln!(
                "usage: cargo xtask <command>\n\n  \
                 up [-- ARGS]    build, and run Portcullis with the sample services\n  \
                 test [FILTER]   the whole test suite, installing or starting what it needs\n  \
                 simulate        attacks among people who may: what is found, missed, hindered\n  \
                 tidy            the rules that no compiler knows"
            );
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Every attack of the catalogue among the traffic of people who may.
fn simulate(numbers: &[String]) -> anyhow::Result<()> {
    let mut command = run::cargo(&[
        "run",
        "-q",
        "--release",
        "-p",
        "portcullis-simulator",
        "--bin",
        "simulate",
        "--",
    ]);
    run::run(command.args(numbers))
}
