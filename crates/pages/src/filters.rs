//! What templates do with texts.

use std::fmt::Display;

/// A text in the language of the reader. What the catalogue does not know, such as the name of a
/// client, passes as it is.
#[askama::filter_fn]
pub(crate) fn t(text: impl AsRef<str>, _: &dyn askama::Values) -> askama::Result<String> {
    Ok(portcullis_texts::t(text.as_ref()).to_owned())
}

/// The same with something filled in.
#[askama::filter_fn]
pub(crate) fn tf(
    text: impl AsRef<str>,
    _: &dyn askama::Values,
    arg: &dyn Display,
) -> askama::Result<String> {
    Ok(portcullis_texts::tf(text.as_ref(), &[&arg.to_string()]))
}
