use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, ensure};
use portcullis_ca::Identities;

use crate::{
    Place,
    commands::say,
    config::{Config, Mistake},
    system, trial,
};

/// The OpenAPI document as it is published: of an installation that is tried out.
pub fn openapi() -> String {
    let document = portcullis_api::document("https://localhost:8443");
    format!("{document:#}\n")
}

/// Reads the configuration as a start would, as far as that changes nothing.
pub fn run(place: &Place) -> Result<ExitCode> {
    let name = place.config.display();
    let (text, base) = Config::read(&place.config)?;
    let (config, mistakes) = Config::inspect(&text, base);
    let told: Vec<String> = mistakes.iter().map(|mistake| format!("\n{mistake}")).collect();
    ensure!(told.is_empty(), "{name} cannot be used:{}", told.concat());
    let config = config.with_context(|| format!("{name} cannot be used"))?;
    crate::parts::theme(&config)?;
    crate::parts::staff_devices(&config)?;
    crate::traces::client(&config)?;
    crate::screening::settings(&config)?;
    let identities = Identities::ephemeral(system::clock(), system::entropy())?;
    crate::wallets::certificate(&config, &identities)?;
    let count = trial::build(config).map_err(|error| {
        let found = Mistake::find(&text, [format!("{error:#}")]);
        let told: Vec<String> = found.iter().map(|mistake| format!("\n{mistake}")).collect();
        anyhow!("{name} cannot be used:{}", told.concat())
    })?;
    say(&format!("{name} is sound: {count} routes"));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    /// The console's client is made from the copy in `docs/`; `portcullis check --openapi` writes it.
    #[test]
    fn the_published_description_of_the_apis_is_this_one() {
        let published = include_str!("../../../../docs/openapi.json");
        assert!(published == super::openapi(), "`portcullis check --openapi` writes another one");
    }
}
