//! What a browser says of itself, and whether that fits together.
//!
//! Whoever writes a program can have it say anything, and most who do forget some of it. A contradiction is a reason
//! to look; that there is none says nothing.

use std::{borrow::Cow, collections::BTreeSet};

use serde::{Deserialize, Serialize};

/// Languages that are kept of a browser; the first ones are those that count.
const LANGUAGES_MAX: usize = 8;
/// A tag of BCP 47 is at most this long here.
const LANGUAGE_MAX_BYTES: usize = 35;
/// Bytes of each other text.
const TEXT_MAX_BYTES: usize = 512;
/// Chromium sends hints with every request over TLS from here on.
const HINTS_SINCE: u32 = 89;

/// What a browser says of itself in the head of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowserFacts {
    /// `User-Agent`.
    #[serde(default)]
    pub user_agent: String,
    /// `Sec-CH-UA` as it stands: brands with their versions.
    #[serde(default)]
    pub brands: Option<String>,
    /// `Sec-CH-UA-Platform` without its quotes.
    #[serde(default)]
    pub platform: Option<String>,
    /// `Sec-CH-UA-Mobile`.
    #[serde(default)]
    pub is_mobile: Option<bool>,
    /// The tags of `Accept-Language`, in their order.
    #[serde(default)]
    pub languages: Vec<String>,
    /// The JA4 fingerprint of its TLS, where the gate saw it.
    #[serde(default)]
    pub ja4: Option<String>,
}

impl BrowserFacts {
    /// By the fields of a request; each is cut where it is longer than any browser has it.
    pub fn new<'a>(field: impl Fn(&str) -> Option<Cow<'a, str>>) -> Self {
        let text = |name: &str| field(name).map(|text| cut(&text));
        Self {
            user_agent: text("user-agent").unwrap_or_default(),
            brands: text("sec-ch-ua"),
            platform: text("sec-ch-ua-platform").map(|text| text.trim_matches('"').to_owned()),
            is_mobile: text("sec-ch-ua-mobile").and_then(|text| match &text[..] {
                "?1" => Some(true),
                "?0" => Some(false),
                _ => None,
            }),
            languages: languages(text("accept-language").unwrap_or_default().split(',')),
            ja4: None,
        }
    }

    /// What does not fit together in what a browser says with each request, by a word for each.
    pub fn contradictions(&self) -> BTreeSet<&'static str> {
        let mut found = BTreeSet::new();
        let agent = &self.user_agent;
        let engine = Engine::of(agent);
        if matches!(engine, Engine::Gecko | Engine::WebKit) && self.brands.is_some() {
            found.insert("hints_of_another_browser");
        }
        if let (Engine::Chromium(major), Some(brands)) = (engine, &self.brands) {
            let hinted = version(brands, CHROMIUM);
            if hinted.is_some_and(|hinted| hinted != major) {
                found.insert("other_version");
            }
        }
        if let (Some(said), Some(hinted)) = (platform(agent), &self.platform) {
            let same = said == hinted || (said == "Chrome OS" && hinted == "Chromium OS");
            if !same && engine != Engine::Program {
                found.insert("other_platform");
            }
        }
        // A tablet with Android is none that moves, to both.
        let hinted = self.is_mobile.filter(|_| matches!(engine, Engine::Chromium(_)));
        if hinted.is_some_and(|hinted| hinted != agent.contains(" Mobile")) {
            found.insert("mobile_or_not");
        }
        found
    }

    /// Whether a browser leaves out what it would send.
    pub fn lacks_hints(&self) -> bool {
        let brands = self.brands.as_deref().unwrap_or_default();
        matches!(Engine::of(&self.user_agent), Engine::Chromium(HINTS_SINCE..))
            && (version(brands, CHROMIUM).is_none()
                || self.platform.is_none()
                || self.is_mobile.is_none())
    }

    /// Whether it is a program, or a browser that one drives, by what it says itself.
    pub fn is_driven(&self) -> bool {
        let headless = |text: &str| text.contains("Headless");
        Engine::of(&self.user_agent) == Engine::Program
            || headless(&self.user_agent)
            || self.brands.as_deref().is_some_and(headless)
    }
}

/// What of it is kept.
pub(super) fn cut(text: &str) -> String {
    let kept = text.char_indices().take_while(|(at, _)| *at < TEXT_MAX_BYTES);
    kept.map(|(_, char)| if char.is_control() { ' ' } else { char }).collect()
}

/// Tags of languages, without how much each is liked; what is none is left out.
pub(super) fn languages<'a>(all: impl Iterator<Item = &'a str>) -> Vec<String> {
    let tags = all.map(|one| one.split(';').next().unwrap_or_default().trim());
    let is_tag = |tag: &&str| {
        (2..=LANGUAGE_MAX_BYTES).contains(&tag.len())
            && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    tags.filter(is_tag).map(str::to_owned).take(LANGUAGES_MAX).collect()
}

/// The regions that tags of languages name: `de-AT` is AT.
pub(super) fn regions(languages: &[String]) -> BTreeSet<String> {
    let parts = languages.iter().flat_map(|tag| tag.split('-').skip(1));
    let two = parts.filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_alphabetic()));
    two.map(str::to_ascii_uppercase).collect()
}

/// Before the version, in every list of brands that Chromium sends.
const CHROMIUM: &str = "\"Chromium\";v=\"";

/// What is behind a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    /// Chrome, Edge, Opera and most others, with their version.
    Chromium(u32),
    Gecko,
    /// Safari, and whatever there is on an iPhone.
    WebKit,
    /// A browser that nobody here knows.
    Unknown,
    /// None at all.
    Program,
}

/// The number after a name.
fn version(text: &str, name: &str) -> Option<u32> {
    let after = text.split_once(name)?.1;
    let digits = after.find(|char: char| !char.is_ascii_digit()).unwrap_or(after.len());
    after[..digits].parse().ok()
}

/// Programs that say what they are.
const PROGRAMS: [&str; 18] = [
    "curl/",
    "wget/",
    "python",
    "httpx",
    "aiohttp",
    "go-http-client",
    "okhttp/",
    "java/",
    "axios/",
    "node",
    "undici",
    "libwww",
    "ruby",
    "php/",
    "guzzle",
    "dart/",
    "postman",
    "phantomjs",
];

impl Engine {
    fn of(user_agent: &str) -> Self {
        let is_program = user_agent.is_empty()
            || PROGRAMS.iter().any(|name| user_agent.to_ascii_lowercase().contains(name));
        if is_program {
            return Self::Program;
        }
        if ["iPhone", "iPad", "iPod"].iter().any(|name| user_agent.contains(name)) {
            return Self::WebKit;
        }
        if user_agent.contains("Firefox/") {
            return Self::Gecko;
        }
        if let Some(major) = version(user_agent, "Chrome/") {
            return Self::Chromium(major);
        }
        if user_agent.contains("Version/") && user_agent.contains("Safari/") {
            return Self::WebKit;
        }
        Self::Unknown
    }
}

/// The platform that a user agent names, as the hint has it.
fn platform(user_agent: &str) -> Option<&'static str> {
    // Android says Linux as well, and iPads say Macintosh.
    [
        ("Android", "Android"),
        ("Windows NT", "Windows"),
        ("CrOS", "Chrome OS"),
        ("Macintosh", "macOS"),
        ("Linux", "Linux"),
    ]
    .into_iter()
    .find(|(word, _)| user_agent.contains(word))
    .map(|(_, platform)| platform)
}

/// Whether a head and a script have the same user agent. Firefox that resists fingerprinting tells scripts another
/// system than servers, and nothing else.
pub(super) fn same_agent(head: &str, script: &str) -> bool {
    let without_system = |agent: &str| {
        let (before, rest) = agent.split_once('(')?;
        let (_, after) = rest.split_once(')')?;
        Some((before.to_owned(), after.to_owned()))
    };
    head == script
        || Engine::of(head) == Engine::Gecko
            && Engine::of(script) == Engine::Gecko
            && without_system(head) == without_system(script)
}

/// Whether a browser may hide where it is: then its clock goes by a zone that is nobody's.
pub(super) fn hides(facts: &BrowserFacts, zone: &str) -> bool {
    Engine::of(&facts.user_agent) == Engine::Gecko && zone == "Atlantic/Reykjavik"
}

/// Whether it speaks TLS as no browser of these years does: all of them know TLS 1.3 and HTTP/2.
pub(super) fn speaks_unlike_browsers(facts: &BrowserFacts) -> bool {
    let Some(ja4) = facts.ja4.as_deref() else { return false };
    Engine::of(&facts.user_agent) != Engine::Program
        && !(ja4.starts_with("t13") && ja4.get(8..10) == Some("h2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROME: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
    const PHONE: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Mobile Safari/537.36";
    const FIREFOX: &str =
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0";
    const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/138.0.7204.53 Mobile/15E148 Safari/604.1";
    const BRANDS: &str =
        "\"Chromium\";v=\"156\", \"Not)A;Brand\";v=\"8\", \"Google Chrome\";v=\"156\"";

    fn facts(agent: &str, brands: &str, platform: &str, mobile: &str) -> BrowserFacts {
        BrowserFacts::new(|name| {
            let text = match name {
                "user-agent" => agent,
                "sec-ch-ua" => brands,
                "sec-ch-ua-platform" => platform,
                "sec-ch-ua-mobile" => mobile,
                _ => "",
            };
            (!text.is_empty()).then_some(text.into())
        })
    }

    #[test]
    fn browsers_as_they_are_fit_together() {
        for honest in [
            facts(CHROME, BRANDS, "\"Linux\"", "?0"),
            facts(PHONE, BRANDS, "\"Android\"", "?1"),
            facts(&PHONE.replace(" Mobile", ""), BRANDS, "\"Android\"", "?0"),
            facts(&format!("{CHROME} Edg/156.0.0.0"), BRANDS, "\"Linux\"", "?0"),
            facts(FIREFOX, "", "", ""),
            facts(IPHONE, "", "", ""),
        ] {
            assert!(honest.contradictions().is_empty(), "{honest:?}");
            assert!(!honest.lacks_hints() && !honest.is_driven(), "{honest:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (said, word) in [
            (facts(FIREFOX, BRANDS, "\"Windows\"", "?0"), "hints_of_another_browser"),
            (facts(IPHONE, BRANDS, "", ""), "hints_of_another_browser"),
            (facts(&CHROME.replace("156", "120"), BRANDS, "\"Linux\"", "?0"), "other_version"),
            (facts(CHROME, BRANDS, "\"Windows\"", "?0"), "other_platform"),
            (facts(CHROME, BRANDS, "\"Linux\"", "?1"), "mobile_or_not"),
            (facts(PHONE, BRANDS, "\"Android\"", "?0"), "mobile_or_not"),
        ] {
            assert_eq!(said.contradictions().into_iter().collect::<Vec<_>>(), [word], "{said:?}");
        }
        assert!(facts(CHROME, "", "", "").lacks_hints());
        assert!(facts("curl/8.5.0", "", "", "").is_driven());
        assert!(facts("", "", "", "").is_driven());
        assert!(!facts("MeinBank/7.1 (iPhone; iOS 18.5)", "", "", "").is_driven());
        for partly in [("\"Google Chrome\";v=\"99\"", "\"Linux\""), (BRANDS, "")] {
            assert!(facts(CHROME, partly.0, partly.1, "?0").lacks_hints(), "{partly:?}");
        }
        let hiding = FIREFOX.replace("Windows NT 10.0; Win64; x64", "X11; Linux x86_64");
        assert!(
            same_agent(FIREFOX, &hiding) && !same_agent(FIREFOX, &FIREFOX.replace("140", "99"))
        );
        assert!(!same_agent(CHROME, &CHROME.replace("X11; Linux x86_64", "Windows NT 10.0")));
        assert!(facts(CHROME, "\"HeadlessChrome\";v=\"156\"", "\"Linux\"", "?0").is_driven());
    }

    #[test]
    fn browsers_speak_new_tls() {
        let with = |agent: &str, ja4: &str| BrowserFacts {
            ja4: Some(ja4.to_owned()),
            ..facts(agent, "", "", "")
        };
        assert!(!speaks_unlike_browsers(&with(FIREFOX, "t13d1715h2_5b57614c22b0_5c2c66f702b0")));
        assert!(speaks_unlike_browsers(&with(FIREFOX, "t13d181100_e8a523a41297_ef7df7f74e48")));
        assert!(speaks_unlike_browsers(&with(FIREFOX, "t12d1715h2_5b57614c22b0_5c2c66f702b0")));
        assert!(!speaks_unlike_browsers(&with(
            "curl/8.5.0",
            "t13d181100_e8a523a41297_ef7df7f74e48"
        )));
        assert!(!speaks_unlike_browsers(&facts(FIREFOX, "", "", "")));
    }

    #[test]
    fn languages_are_tags_and_name_regions() {
        let tags = languages("de-AT,de;q=0.9, zh-Hant-TW;q=0.8,*;q=0.5,x y;q=1".split(','));
        assert_eq!(tags, ["de-AT", "de", "zh-Hant-TW"]);
        assert_eq!(regions(&tags), BTreeSet::from(["AT".to_owned(), "TW".to_owned()]));
        assert_eq!(languages(["en"; 20].into_iter()).len(), LANGUAGES_MAX);
    }
}
