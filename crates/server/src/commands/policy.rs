use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Subcommand;

use crate::{Place, commands::say, policies};

#[derive(Subcommand)]
pub enum PolicyCommand {
    /// Print the built-in Cedar schema: what policies can speak of
    Schema,
    /// Check the policies of a configuration
    Check {
        #[command(flatten)]
        place: Place,
    },
}

pub fn run(command: &PolicyCommand) -> Result<ExitCode> {
    match command {
        PolicyCommand::Schema => say(portcullis_policy::SCHEMA.trim_end()),
        PolicyCommand::Check { place } => {
            let config = place.load()?;
            let policies = policies::load(&config)?.context("the configuration has no policies")?;
            say(&format!("{} policies are sound", policies.len()));
        }
    }
    Ok(ExitCode::SUCCESS)
}
