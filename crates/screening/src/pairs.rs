//! Pairs of entities as lines of JSON: `{"left": {schema, properties}, "right": {schema, properties}}`.

use serde_json::Value;

use crate::{
    entity::{Entity, EntityError},
    policy::Policy,
    profile::Profile,
    score::{Verdict, score},
};

/// Bytes of a line that are read.
pub const PAIR_MAX_BYTES: usize = 1 << 20;

/// Why a line is no pair.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// Too long.
    #[error("the line is longer than {PAIR_MAX_BYTES} bytes")]
    TooLong,
    /// Not JSON.
    #[error("the line is not JSON")]
    NotJson(#[from] serde_json::Error),
    /// One side is no entity.
    #[error("`{side}`: {error}")]
    Side {
        /// `left` or `right`.
        side: &'static str,
        /// What is wrong with it.
        error: EntityError,
    },
}

/// Two entities.
#[derive(Debug)]
pub struct Pair {
    /// The one.
    pub left: Entity,
    /// The other.
    pub right: Entity,
}

impl Pair {
    /// Reads a line; members other than `left` and `right` are passed over.
    pub fn parse(line: &str) -> Result<Self, PairError> {
        if line.len() > PAIR_MAX_BYTES {
            return Err(PairError::TooLong);
        }
        let value: Value = serde_json::from_str(line)?;
        let side = |side: &'static str| {
            let entity = Entity::from_json(value.get(side).unwrap_or(&Value::Null));
            entity.map_err(|error| PairError::Side { side, error })
        };
        Ok(Self { left: side("left")?, right: side("right")? })
    }

    /// Compares the two.
    pub fn score(&self, policy: &Policy) -> Verdict {
        let left = Profile::beside(&self.left, self.right.schema);
        let right = Profile::beside(&self.right, self.left.schema);
        score(&left, &right, policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_two_entities_or_says_what_it_lacks() {
        let line = r#"{"left":{"schema":"Person","properties":{"name":["Ann Lee"]}},"right":{"schema":"Person","properties":{"name":["Lee, Ann"]}},"label":true}"#;
        assert!(Pair::parse(line).unwrap().score(&Policy::balanced()).is_match);
        let message = |line: &str| Pair::parse(line).unwrap_err().to_string();
        assert_eq!(
            message(r#"{"left":{"schema":"Person","properties":{}}}"#),
            "`right`: an entity is a JSON object with `schema` and `properties`"
        );
        assert!(message("{").starts_with("the line is not JSON"));
    }
}
