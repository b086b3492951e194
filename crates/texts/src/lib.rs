//! What people read, in their language.
//!
//! The English text is the key: code says what it means, a catalogue for each language says it
//! again, and what a catalogue does not know stays English. The language belongs to the request
//! ([`speaking`]); a mail to somebody else is in theirs ([`speaking_now`]).

mod catalog;

use std::future::Future;

/// A language with a catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    /// English, the language of the keys.
    #[default]
    En,
    /// German.
    De,
    /// Spanish.
    Es,
    /// French.
    Fr,
}

tokio::task_local! {
    static SPOKEN: Lang;
}

impl Lang {
    /// Every language.
    pub const ALL: [Self; 4] = [Self::En, Self::De, Self::Es, Self::Fr];

    /// The tag (BCP 47).
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
            Self::Es => "es",
            Self::Fr => "fr",
        }
    }

    /// What its speakers call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::En => "English",
            Self::De => "Deutsch",
            Self::Es => "Español",
            Self::Fr => "Français",
        }
    }

    /// The language of a tag such as `de-AT`.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.trim().split(['-', '_']).next().unwrap_or_default();
        Self::ALL.into_iter().find(|lang| lang.tag().eq_ignore_ascii_case(primary))
    }

    /// The first known language of a list separated by spaces (OpenID Connect Core, section
    /// 3.1.2.1, `ui_locales`).
    pub fn of_list(tags: &str) -> Option<Self> {
        tags.split(' ').take(MAX_TAGS).find_map(Self::of_tag)
    }

    /// What somebody reads best (RFC 9110, section 12.5.4).
    pub fn of_accept_language(field: &str) -> Option<Self> {
        let mut best: Option<(Self, u32)> = None;
        for range in field.split(',').take(MAX_TAGS) {
            let (tag, weight) = range.split_once(';').unwrap_or((range, "q=1"));
            let weight = thousandths(weight.trim().strip_prefix("q=").unwrap_or("0"));
            if let Some(lang) = Self::of_tag(tag)
                && weight > best.map_or(0, |(_, known)| known)
            {
                best = Some((lang, weight));
            }
        }
        best.map(|(lang, _)| lang)
    }
}

/// Of longer lists only the beginning is read.
const MAX_TAGS: usize = 16;

/// `0.8` is 800; what is no weight is none.
fn thousandths(weight: &str) -> u32 {
    let (whole, part) = weight.split_once('.').unwrap_or((weight, ""));
    let part = format!("{part:0<3}");
    match (whole, part.parse::<u32>()) {
        ("1", _) => 1000,
        ("0", Ok(part)) if part < 1000 => part,
        _ => 0,
    }
}

/// Runs `work` for somebody who reads `lang`.
pub async fn speaking<F: Future>(lang: Lang, work: F) -> F::Output {
    SPOKEN.scope(lang, work).await
}

/// The same for work that does not wait.
pub fn speaking_now<T>(lang: Lang, work: impl FnOnce() -> T) -> T {
    SPOKEN.sync_scope(lang, work)
}

/// The language of the request; English where there is none.
pub fn current() -> Lang {
    SPOKEN.try_with(|lang| *lang).unwrap_or_default()
}

/// A text in the language of the request.
pub fn t(text: &str) -> &str {
    catalog::find(current(), text).unwrap_or(text)
}

/// The same with `{0}`, `{1}` … filled in. What is filled in is not looked at again.
pub fn tf(text: &str, args: &[&str]) -> String {
    let pattern = t(text);
    let mut made = String::with_capacity(pattern.len() + 32);
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        made.push_str(before);
        match after.split_once('}') {
            Some((place, behind)) => {
                let arg = place.parse::<usize>().ok().and_then(|place| args.get(place));
                made.push_str(arg.copied().unwrap_or_default());
                rest = behind;
            }
            None => rest = after,
        }
    }
    made.push_str(rest);
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_say_what_their_people_read() {
        let of = Lang::of_accept_language;
        assert_eq!(of("de-AT,de;q=0.9,en;q=0.8"), Some(Lang::De));
        assert_eq!(of("nl, es;q=0.5, fr;q=0.7"), Some(Lang::Fr));
        assert_eq!(of("fr;q=0, en;q=0.1"), Some(Lang::En));
        for nothing in ["", "nl", "*", "de;q=x", "de;q=2", "de;q=0.0000", ",;,;", "\u{e9}"] {
            assert_eq!(of(nothing), None, "{nothing}");
        }
        assert_eq!(Lang::of_list("nl fr-CA de"), Some(Lang::Fr));
    }

    #[tokio::test]
    async fn the_language_belongs_to_the_request() {
        assert_eq!(t("Log in"), "Log in");
        speaking(Lang::De, async {
            assert_eq!(t("Log in"), "Anmelden");
            assert_eq!(t("no such text"), "no such text");
            speaking_now(Lang::Fr, || assert_eq!(current(), Lang::Fr));
            assert_eq!(current(), Lang::De);
        })
        .await;
    }

    #[test]
    fn what_is_filled_in_is_not_looked_at_again() {
        assert_eq!(tf("{1} and {0}", &["{1}", "b"]), "b and {1}");
        assert_eq!(tf("{7} {x} {", &["a"]), "  ");
    }
}
