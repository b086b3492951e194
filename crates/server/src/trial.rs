//! Trying a configuration out: what a start would build of it is built and thrown away.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use portcullis_api::{CheckedView, MistakeView};
use portcullis_ca::Identities;

use crate::{
    config::{Config, Mistake},
    doors::Doors,
    gate::Gate,
    routes, system,
};

/// Builds what a reload would take over. Returns how many routes there are.
pub fn build(config: Config) -> Result<usize> {
    let (clock, entropy) = (system::clock(), system::entropy());
    crate::places::Maps::open(&config)?;
    crate::sigma::load(&config, None)?;
    crate::sinks::plan(&config, "log", &clock, &entropy)?;
    let identities = Identities::ephemeral(clock, entropy.clone())?;
    let egress = crate::app::egress(&config)?;
    let gate = Gate::build(config, &identities, &entropy, &egress, None)?;
    Doors::open(&gate.config, &identities)?;
    let built_in = routes::BuiltIn {
        oidc: axum::Router::new(),
        pages: axum::Router::new(),
        api: axum::Router::new(),
        matches: axum::Router::new(),
        wallets: axum::Router::new(),
        console: axum::Router::new(),
        pki: axum::Router::new(),
        log: (axum::Router::new(), "node".to_owned()),
    };
    let all = routes::all(&gate, built_in)?;
    let count = all.len();
    routes::check_table(all).context("the routes contradict each other")?;
    Ok(count)
}

/// Looks at a text as if it were the file of `running`. Only files are opened, and directories read, that the
/// configuration in force names for the same: whoever may look at the gate may not look at the machine.
pub fn inspect(text: &str, running: &Config) -> CheckedView {
    let (config, mut mistakes) = Config::inspect(text, running.base.clone());
    let (mut unread, mut needs_restart, mut count) = (Vec::new(), Vec::new(), None);
    if let Some(config) = config {
        needs_restart = config.needs_restart(running);
        // Only for what they are for: what is wrong with rules is quoted, and a secret is no rule.
        let known: BTreeSet<_> = running.named().into_iter().collect();
        let own: BTreeSet<_> = config.named().into_iter().collect();
        let told = own.difference(&known).map(|(role, path)| format!("{role}: {}", path.display()));
        unread = told.collect();
        if mistakes.is_empty() && unread.is_empty() {
            match build(config) {
                Ok(routes) => count = Some(routes),
                Err(error) => mistakes = Mistake::find(text, [format!("{error:#}")]),
            }
        }
    }
    let view = |Mistake { place, message }| MistakeView {
        line: place.map(|(line, _)| line),
        column: place.map(|(_, column)| column),
        message,
    };
    CheckedView {
        sound: mistakes.is_empty(),
        mistakes: mistakes.into_iter().map(view).collect(),
        routes: count,
        unread,
        needs_restart,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const TEXT: &str = "issuer = \"https://localhost:8443\"\n[listen]\npublic = \"127.0.0.1:8443\"\n\
        [database]\nurl = \"sqlite:x.db\"\n[[upstream]]\nname = \"a\"\nservers = [\"http://x\"]\n";

    fn route(name: &str, more: &str) -> String {
        format!(
            "[[route]]\nname = \"{name}\"\npath = \"/x\"\nupstream = \"a\"\nauthenticate = [\"bearer\"]\n{more}"
        )
    }

    fn running() -> Config {
        Config::parse(TEXT, PathBuf::from("/nowhere")).unwrap()
    }

    #[test]
    fn a_sound_text_is_built_and_says_what_needs_a_restart() {
        let text = format!("{}{}", TEXT.replace("x.db", "y.db"), route("r", ""));
        let view = inspect(&text, &running());
        assert!(view.sound && view.mistakes.is_empty() && view.unread.is_empty());
        assert!(view.routes > Some(10));
        assert_eq!(view.needs_restart, ["database"]);
    }

    #[test]
    fn routes_that_contradict_each_other_are_found_in_the_text() {
        let text = format!("{TEXT}{}{}", route("r", ""), route("s", ""));
        let view = inspect(&text, &running());
        assert!(!view.sound);
        assert!(view.mistakes[0].message.contains("contradict"), "{:?}", view.mistakes);
    }

    /// Contents and names of files are nothing that a text may ask for.
    #[test]
    fn files_that_are_not_in_force_are_not_opened() {
        for more in ["openapi = \"/etc/passwd\"\n", "openapi = \"../../etc/none\"\n"] {
            let view = inspect(&format!("{TEXT}{}", route("r", more)), &running());
            assert!(view.sound && view.routes.is_none());
            assert_eq!(view.unread.len(), 1);
        }
        // Nor is a directory read, or a file that is there for something else.
        let there = std::env::temp_dir().join(format!("portcullis-trial-{}", std::process::id()));
        std::fs::create_dir_all(&there).unwrap();
        let secret = there.join("secret.yml");
        std::fs::write(&secret, "hidden").unwrap();
        let (there, secret) = (there.display().to_string(), secret.display().to_string());
        let sink = format!(
            "[[sink]]\nname = \"s\"\nsecret_file = {secret:?}\nslack = {{}}\n[detect]\nsigma = "
        );
        let with = Config::parse(&format!("{TEXT}{sink}[]\n"), PathBuf::from("/nowhere")).unwrap();
        for path in [&there, &secret] {
            let view = inspect(&format!("{TEXT}{sink}[{path:?}]\n"), &with);
            assert_eq!(view.unread, [format!("detect.sigma: {path}")]);
            assert!(view.sound && view.routes.is_none());
        }
        std::fs::remove_dir_all(&there).unwrap();
        for more in [
            "[egress]\nca = \"/dev/zero\"\n",
            "[tls]\nmode = \"files\"\ncertificate = \"/dev/zero\"\nkey = \"/dev/zero\"\n",
            "[detect.maps]\ncity = \"/dev/zero\"\n",
            "[policy]\nfiles = [\"/dev/zero\"]\n",
        ] {
            let view = inspect(&format!("{TEXT}{more}"), &running());
            assert!(!view.unread.is_empty() && view.routes.is_none(), "{more} {:?}", view.mistakes);
        }
        // As it is in force, it is opened.
        let text = format!("{TEXT}{}", route("r", "openapi = \"none.yaml\"\n"));
        let running = Config::parse(&text, PathBuf::from("/nowhere")).unwrap();
        let view = inspect(&text, &running);
        assert_eq!(view.mistakes[0].line, Some(14), "{:?}", view.mistakes);
    }
}
