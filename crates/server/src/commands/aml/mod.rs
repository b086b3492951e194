//! Screening from the command line.

mod answers;
mod compare;
mod import;
mod screen;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Result, ensure};
use clap::Subcommand;
use portcullis_screening::Policy;

use crate::{commands::say, lists::Lists, screening::read_policy, system};

#[derive(Subcommand)]
pub enum AmlCommand {
    /// Score pairs of entities: one line {"left":{…},"right":{…}} in, one line {"score":…,"match":…} out
    Compare {
        /// A file of JSON lines; "-" reads standard input
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        policy: PolicyArguments,
        /// Add the reasons to each line
        #[arg(long)]
        explain: bool,
    },
    /// Read a list, compare it with the version before, and make it the current one
    Import(import::ImportArguments),
    /// The lists and their versions
    Lists {
        #[command(flatten)]
        data: Data,
        /// As JSON, one list on each line
        #[arg(long)]
        json: bool,
    },
    /// Use a list no longer; nobody is screened against it, and its files stay
    Retire {
        #[command(flatten)]
        data: Data,
        /// The list
        #[arg(long, value_name = "NAME")]
        list: String,
        /// Although nothing of it is here any more
        #[arg(long)]
        lost: bool,
    },
    /// Look for somebody on the lists
    Screen(Box<screen::ScreenArguments>),
}

/// Where the lists are.
#[derive(clap::Args)]
pub struct Data {
    /// The data directory
    #[arg(long, value_name = "DIR", default_value = "portcullis-data")]
    data: PathBuf,
}

impl Data {
    fn lists(&self) -> Lists {
        Lists::of(&self.data)
    }
}

/// Which policy.
#[derive(clap::Args)]
pub struct PolicyArguments {
    /// balanced, strict, or a JSON file with weights of your own
    #[arg(long, value_name = "NAME|FILE", default_value = "balanced")]
    policy: String,
    /// From which score on it is a match, instead of what the policy says
    #[arg(long, value_name = "SCORE")]
    threshold: Option<f64>,
}

impl PolicyArguments {
    fn load(&self) -> Result<Policy> {
        let mut policy = match Policy::named(&self.policy) {
            Some(policy) => policy,
            None => {
                let path = Path::new(&self.policy);
                ensure!(
                    path.is_file(),
                    "there is no policy {}: balanced and strict are built in, anything else is a file",
                    path.display()
                );
                read_policy(path)?
            }
        };
        if let Some(threshold) = self.threshold {
            policy.threshold = threshold;
        }
        policy.check()?;
        Ok(policy)
    }
}

pub fn run(command: &AmlCommand) -> Result<ExitCode> {
    match command {
        AmlCommand::Compare { file, policy, explain } => {
            compare::run(file, &policy.load()?, *explain)
        }
        AmlCommand::Import(asked) => import::run(asked),
        AmlCommand::Lists { data, json } => lists(&data.lists(), *json),
        AmlCommand::Retire { data, list, lost } => {
            let lists = data.lists();
            ensure!(
                *lost || lists.is_there(list),
                "there is no list {list}; if it was lost, say --lost"
            );
            lists.retire(list, &system::clock().now().to_rfc3339())?;
            say(&format!("{list} is not used any more; an import takes it up again"));
            Ok(ExitCode::SUCCESS)
        }
        AmlCommand::Screen(asked) => screen::run(asked),
    }
}

fn lists(lists: &Lists, json: bool) -> Result<ExitCode> {
    let names = lists.names()?;
    if names.is_empty() && !json {
        say("no list has been imported yet: portcullis aml import --help");
    }
    for name in names {
        let Some(info) = lists.current(&name)? else { continue };
        if json {
            say(&serde_json::to_string(&info)?);
        } else {
            let published = plain(info.published.as_deref().unwrap_or("an unknown time"));
            say(&format!(
                "{name}  {} entities  version {}  published {published}  from {} ({})",
                info.entities,
                info.version,
                plain(&info.source),
                info.format
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Without what would steer a terminal or begin a line.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
