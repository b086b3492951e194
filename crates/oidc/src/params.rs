use std::collections::BTreeMap;

/// A request may have at most this many parameters.
const MAX_PARAMS: usize = 64;
/// A value may be at most this long.
const MAX_VALUE_BYTES: usize = 8 * 1024;

/// The only ones that may occur more than once (RFC 8707, section 2).
const REPEATABLE: &[&str] = &["resource"];

/// The parameters of a form or query, each at most once (RFC 6749, section 3.1) but for
/// `resource`.
#[derive(Debug, Clone, Default)]
pub struct Params(BTreeMap<String, Vec<String>>);

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
        let mut params = BTreeMap::<String, Vec<String>>::new();
        for (count, (name, value)) in form_urlencoded::parse(bytes).enumerate() {
            let hostile = |text: &str| text.contains(['\u{fffd}', '\0']);
            if count >= MAX_PARAMS
                || value.len() > MAX_VALUE_BYTES
                || hostile(&name)
                || hostile(&value)
            {
                return Err(ParamsError::Malformed);
            }
            let once = !REPEATABLE.contains(&&*name);
            let values = params.entry(name.into_owned()).or_default();
            if once && !values.is_empty() {
                return Err(ParamsError::Repeated);
            }
            values.push(value.into_owned());
        }
        for values in params.values_mut() {
            values.retain(|value| !value.is_empty());
        }
        params.retain(|_, values| !values.is_empty());
        Ok(Self(params))
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a parameter, in order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get(name).into_iter().flatten().map(String::as_str)
    }

    /// All of them, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|(name, values)| {
            values.iter().map(move |value| (name.as_str(), value.as_str()))
        })
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
        self.0.insert(name.to_owned(), vec![value.to_owned()]);
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
        let several = Params::parse(b"resource=x&resource=&resource=y").unwrap();
        assert_eq!(several.all("resource").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(several.to_query(), "resource=x&resource=y");
    }
}
