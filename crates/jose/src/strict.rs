//! JSON as security needs it: no duplicate member names, no deep nesting.

use std::{collections::HashSet, fmt};

use serde::de::{self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Objects and arrays may be nested this deep.
pub const MAX_JSON_DEPTH: u8 = 16;

/// The bytes are not acceptable JSON for the expected type.
#[derive(Debug, thiserror::Error)]
#[error("not acceptable JSON")]
pub struct StrictJsonError(#[from] serde_json::Error);

/// Reads `bytes` as `T`, refusing duplicate member names at any depth (RFC 8725, section 2.4) and
/// nesting beyond [`MAX_JSON_DEPTH`].
pub fn from_slice_strict<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StrictJsonError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = StrictValue { depth: MAX_JSON_DEPTH }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(T::deserialize(value)?)
}

/// Whether `bytes` are one JSON text: UTF-8, no duplicate member names at any depth, at most `depth`
/// objects and arrays in each other, and no number beyond a double (RFC 7493, section 2). What readers
/// make of names that differ in case only, or of digits that a double does not hold, is theirs.
pub fn check_json(bytes: &[u8], depth: u8) -> Result<(), StrictJsonError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    StrictSyntax { depth }.deserialize(&mut reader)?;
    Ok(reader.end()?)
}

/// Looks, and keeps nothing but the names of the objects that are open.
#[derive(Clone, Copy)]
struct StrictSyntax {
    depth: u8,
}

impl StrictSyntax {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("nested too deep"))?;
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for StrictSyntax {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictSyntax {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while seq.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name) {
                return Err(de::Error::custom("duplicate member"));
            }
            map.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct StrictValue {
    depth: u8,
}

impl StrictValue {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("nested too deep"))?;
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for StrictValue {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if members.insert(name, map.next_value_seed(inner)?).is_some() {
                return Err(de::Error::custom("duplicate member"));
            }
        }
        Ok(members.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_refused_at_any_depth() {
        for bad in [r#"{"a":1,"a":2}"#, r#"{"x":[{"a":1,"\u0061":2}]}"#] {
            assert!(from_slice_strict::<Value>(bad.as_bytes()).is_err(), "{bad}");
            assert!(check_json(bad.as_bytes(), 9).is_err(), "{bad}");
        }
        assert!(from_slice_strict::<Value>(br#"{"a":{"a":1}}"#).is_ok());
    }

    #[test]
    fn what_readers_disagree_about_is_refused() {
        for bad in [
            "",
            " ",
            "nul",
            "[1,]",
            "{\"a\":1,}",
            "'a'",
            "[1e999]",
            "[-1e999]",
            "[NaN]",
            "[01]",
            "[+1]",
            "[.5]",
            "// a\n1",
            "\u{feff}1",
            "1 2",
            "{\"a\" 1}",
            "[\"\u{1}\"]",
            "[\"\\ud800\"]",
        ] {
            assert!(check_json(bad.as_bytes(), 9).is_err(), "{bad}");
        }
        assert!(check_json(b"[\"\xff\"]", 9).is_err());
        for good in
            ["1", "null", r#"{"a":[1.5e3,{"a":"\u00e9"}],"b":18446744073709551615}"#, " [] "]
        {
            assert!(check_json(good.as_bytes(), 9).is_ok(), "{good}");
        }
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(check_json(nested(9).as_bytes(), 9).is_ok());
        assert!(check_json(nested(10).as_bytes(), 9).is_err());
        assert!(check_json(nested(100_000).as_bytes(), 64).is_err());
    }

    #[test]
    fn deep_nesting_and_trailing_bytes_are_refused() {
        let depth = usize::from(MAX_JSON_DEPTH);
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(from_slice_strict::<Value>(nested(depth).as_bytes()).is_ok());
        assert!(from_slice_strict::<Value>(nested(depth + 1).as_bytes()).is_err());
        assert!(from_slice_strict::<Value>(b"{} {}").is_err());
    }
}
