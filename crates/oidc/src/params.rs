use std::collections::BTreeMap;

/// A request may have at most this many parameters.
const MAX_PARAMS: usize = 64;
/// A value may be at most this long.
const MAX_VALUE_BYTES: usize = 8 * 1024;

/// The parameters of a form or query, each at most once (RFC 6749, section 3.1).
#[derive(Debug, Clone, Default)]
pub struct Params(BTreeMap<String, String>);

/// The parameters cannot be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// A parameter occurs twice.
    #[error("a parameter is repeated")]
    Repeated,
    /// Too many, too long, or not UTF-8.
    #[error("the parameters are malformed or too long")]
    Malformed,
}

impl Params {
    /// Reads `application/x-www-form-urlencoded` bytes. Parameters without a value count as absent
    /// (RFC 6749, section 3.1).
    pub fn parse(bytes: &[u8]) -> Result<Self, ParamsError> {
        let mut params = BTreeMap::new();
        for (count, (name, value)) in form_urlencoded::parse(bytes).enumerate() {
            let hostile = |text: &str| text.contains(['\u{fffd}', '\0']);
            if count >= MAX_PARAMS
                || value.len() > MAX_VALUE_BYTES
                || hostile(&name)
                || hostile(&value)
            {
                return Err(ParamsError::Malformed);
            }
            if params.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(ParamsError::Repeated);
            }
        }
        params.retain(|_, value| !value.is_empty());
        Ok(Self(params))
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All of them, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The same parameters without `name`.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// The same parameters with `name` set to `value`.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    /// As a query string.
    pub fn to_query(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_and_hostile_parameters_are_refused() {
        assert_eq!(Params::parse(b"a=1&a=2").unwrap_err(), ParamsError::Repeated);
        assert_eq!(Params::parse(b"a=1&%61=").unwrap_err(), ParamsError::Repeated);
        assert_eq!(Params::parse(b"a=%ff").unwrap_err(), ParamsError::Malformed);
        assert_eq!(Params::parse(b"a=%00").unwrap_err(), ParamsError::Malformed);
        assert_eq!(Params::parse("a=1&".repeat(65).as_bytes()).unwrap_err(), ParamsError::Repeated);
        assert_eq!(Params::parse(b"a=&b=2").unwrap().get("a"), None);
    }
}
