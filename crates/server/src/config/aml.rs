use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// How subjects are screened against lists.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AmlConfig {
    /// The policy that counts where none is named: `balanced`, `strict`, or the name of one of one's own.
    #[serde(default = "balanced")]
    pub policy: String,
    /// Files of policies of one's own, JSON, each with a name of its own.
    #[serde(default)]
    pub policies: Vec<PathBuf>,
    /// Whether a second person must approve what clears a subject.
    #[serde(default = "yes")]
    pub four_eyes: bool,
    /// Whether `/match/{scope}` and `/search/{scope}` answer as yente does, so that its clients need another
    /// URL and no more. They take these paths from routes of one's own.
    #[serde(default)]
    pub match_api: bool,
}

impl Default for AmlConfig {
    fn default() -> Self {
        Self { policy: balanced(), policies: Vec::new(), four_eyes: true, match_api: false }
    }
}

fn balanced() -> String {
    "balanced".to_owned()
}

fn yes() -> bool {
    true
}
