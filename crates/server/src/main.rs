//! Portcullis: the gate in front of your services, as one binary.
#![allow(missing_docs, clippy::allow_attributes, reason = "a binary has no public interface")]

mod activity;
mod app;
mod baselines;
mod built_in;
mod certificates;
mod checks;
mod commands;
mod compliance;
mod config;
mod control;
mod demo;
mod discovery;
mod doors;
mod gate;
mod index_files;
mod issuers;
mod jobs;
mod kek;
mod list_index;
mod lists;
mod log_time;
mod mail_hosts;
mod mailer;
mod measures;
mod new_version;
mod ops;
mod parts;
mod places;
mod policies;
mod quotas;
mod record;
mod reload;
mod routes;
mod screening;
mod sessions;
mod sigma;
mod sink_view;
mod sinks;
mod system;
mod texts;
mod tiles;
mod traces;
mod traffic;
mod trial;
mod up;
mod upstreams;
mod vault;
mod wallets;
mod watch;
mod window;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Gives the 19 MiB of a password hash back to the system instead of keeping them in its arenas.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "portcullis", version, about = "The gate in front of your services")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything and run until interrupted
    Up {
        #[command(flatten)]
        place: Place,
        /// Make accounts, clients and routes to try everything with
        #[arg(long)]
        demo: bool,
    },
    /// Check a configuration without starting anything
    Check {
        #[command(flatten)]
        place: Place,
        /// Print the JSON Schema of the configuration instead
        #[arg(long)]
        schema: bool,
        /// Print the OpenAPI document of the APIs instead
        #[arg(long, conflicts_with = "schema")]
        openapi: bool,
    },
    /// Ask the running gate what it would say to a request, stage by stage
    Explain(commands::explain::ExplainArguments),
    /// Make the running process read its configuration again
    Reload {
        #[command(flatten)]
        place: Place,
    },
    /// Print the schema of policies, or check them
    #[command(subcommand)]
    Policy(commands::policy::PolicyCommand),
    /// Verify, search and export the audit log, or prove an entry of it
    #[command(subcommand)]
    Audit(commands::audit::AuditCommand),
    /// Make, list and revoke API keys
    #[command(subcommand)]
    ApiKeys(commands::api_keys::ApiKeysCommand),
    /// List and lift blocks
    #[command(subcommand)]
    Blocks(commands::blocks::BlocksCommand),
    /// Screen people, companies and ships against lists, and compare names
    #[command(subcommand)]
    Aml(commands::aml::AmlCommand),
    /// Whom travel documents are verified by
    #[command(subcommand)]
    Idv(commands::idv::IdvCommand),
    /// Use the built-in certificate authority
    #[command(subcommand)]
    Ca(commands::ca::CaCommand),
    /// List, rotate and retire signing keys, and move the key that seals them
    #[command(subcommand)]
    Keys(commands::keys::KeysCommand),
    /// Manage accounts from the command line
    #[command(subcommand)]
    Users(commands::users::UsersCommand),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Where the configuration and the data are.
#[derive(clap::Args, Clone)]
pub struct Place {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "portcullis.toml")]
    config: PathBuf,
    /// The data directory
    #[arg(long, value_name = "DIR", default_value = "portcullis-data")]
    data: PathBuf,
}

fn main() -> ExitCode {
    let filter = system::variable("PORTCULLIS_LOG").unwrap_or_else(|| "info".to_owned());
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false)
        .init();
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match cli.command {
        Command::Up { place, demo } => {
            let named = place.config.exists();
            let config =
                if demo && !named { demo::config()? } else { config::Config::load(&place.config)? };
            runtime.block_on(up::run(config, &place.data, demo))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { schema: true, .. } => {
            commands::say(config::schema().trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { openapi: true, .. } => {
            commands::say(commands::check::openapi().trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { place, .. } => {
            let _inside = runtime.enter();
            commands::check::run(&place)
        }
        Command::Explain(asked) => runtime.block_on(commands::explain::run(asked)),
        Command::Reload { place } => {
            runtime.block_on(control::ask::<serde_json::Value>(&place.data, "/reload", &()))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Policy(command) => commands::policy::run(&command),
        Command::Audit(command) => runtime.block_on(commands::audit::run(command)),
        Command::ApiKeys(command) => runtime.block_on(commands::api_keys::run(command)),
        Command::Aml(command) => commands::aml::run(&command),
        Command::Idv(command) => runtime.block_on(commands::idv::run(command)),
        Command::Blocks(command) => runtime.block_on(commands::blocks::run(command)),
        Command::Ca(command) => runtime.block_on(commands::ca::run(command)),
        Command::Keys(command) => runtime.block_on(commands::keys::run(command)),
        Command::Users(command) => runtime.block_on(commands::users::run(command)),
        Command::Completions { shell } => {
            let mut command = Cli::command();
            clap_complete::generate(shell, &mut command, "portcullis", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[expect(clippy::print_stderr, reason = "this is how a command says that it failed")]
fn complain(error: &anyhow::Error) {
    eprintln!("portcullis: {error:#}");
}

impl Place {
    /// The configuration, or that of the demo if there is no file but a demo's data.
    fn load(&self) -> Result<config::Config> {
        let is_demo = self.data.join("demo-credentials.json").exists();
        if is_demo && !self.config.exists() {
            demo::config()
        } else {
            config::Config::load(&self.config).context("read the configuration")
        }
    }
}
