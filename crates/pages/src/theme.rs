//! The look of the pages: colours and a picture. No script, no style of somebody else, no picture
//! that can act.

/// A picture is at most this long.
const MAX_LOGO_BYTES: usize = 256 * 1024;
/// What text needs against its ground (WCAG 2.2, success criterion 1.4.3).
const CONTRAST: f64 = 4.5;
/// The grounds of the cards that links and buttons are on, light and dark; see `style.css`.
const CARD: [Colour; 2] = [Colour(255, 255, 255), Colour(0x18, 0x22, 0x2b)];
/// What can stand on a button.
const INKS: [Colour; 2] = [Colour(255, 255, 255), Colour(8, 19, 29)];

/// The look of one tenant's pages.
#[derive(Debug, Clone)]
pub struct Theme {
    pub(crate) name: String,
    pub(crate) css: String,
    pub(crate) logo: Option<(&'static str, Vec<u8>)>,
}

impl Default for Theme {
    fn default() -> Self {
        Self { name: "Portcullis".to_owned(), css: String::new(), logo: None }
    }
}

/// A look that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ThemeError {
    /// The name cannot be shown.
    #[error("the name must be 1 to 60 characters without control characters")]
    Name,
    /// Not a colour.
    #[error("{0} must be a colour such as #0b5cad")]
    Colour(&'static str),
    /// Links in it could not be read.
    #[error("{name} has a contrast of {contrast:.1} against the page, and needs 4.5")]
    Contrast {
        /// Which colour.
        name: &'static str,
        /// What it has.
        contrast: f64,
    },
    /// The picture is too long.
    #[error("the logo must be at most 256 KiB")]
    Size,
    /// The picture is of another kind, or could act.
    #[error("the logo must be a PNG, JPEG or WebP")]
    Picture,
}

impl Theme {
    /// Checks a look. Colours are for links and buttons, on light and on dark ground.
    pub fn new(
        name: &str,
        accent: Option<&str>,
        accent_dark: Option<&str>,
        logo: Option<Vec<u8>>,
    ) -> Result<Self, ThemeError> {
        let plain = !name.chars().any(char::is_control) && name.trim() == name;
        if !plain || !(1..=60).contains(&name.chars().count()) {
            return Err(ThemeError::Name);
        }
        let light = accent.map(|text| read("accent", text, CARD[0])).transpose()?;
        let dark = accent_dark.map(|text| read("accent_dark", text, CARD[1])).transpose()?;
        let mut css = String::new();
        if let Some(colour) = light {
            css.push_str(&rule(colour));
        }
        if let Some(colour) = dark {
            css.push_str(&format!("@media (prefers-color-scheme: dark) {{ {} }}\n", rule(colour)));
        }
        let logo = logo.map(picture).transpose()?;
        Ok(Self { name: name.to_owned(), css, logo })
    }
}

#[derive(Debug, Clone, Copy)]
struct Colour(u8, u8, u8);

impl Colour {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
        let part = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        Some(Self(part(0)?, part(2)?, part(4)?))
    }

    /// WCAG 2.2, relative luminance.
    fn luminance(self) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(self.0) + 0.7152 * linear(self.1) + 0.0722 * linear(self.2)
    }

    fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }
}

fn read(name: &'static str, text: &str, ground: Colour) -> Result<Colour, ThemeError> {
    let colour = Colour::parse(text).ok_or(ThemeError::Colour(name))?;
    let contrast = colour.contrast(ground);
    if contrast < CONTRAST { Err(ThemeError::Contrast { name, contrast }) } else { Ok(colour) }
}

fn rule(colour: Colour) -> String {
    let [light, dark] = INKS;
    let ink = if colour.contrast(light) >= colour.contrast(dark) { light } else { dark };
    let hex = |Colour(r, g, b): Colour| format!("#{r:02x}{g:02x}{b:02x}");
    format!(":root {{ --accent: {}; --accent-ink: {}; }}\n", hex(colour), hex(ink))
}

/// Told by its first bytes, whatever the file is called.
fn picture(bytes: Vec<u8>) -> Result<(&'static str, Vec<u8>), ThemeError> {
    if bytes.len() > MAX_LOGO_BYTES {
        return Err(ThemeError::Size);
    }
    let kind = if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        "image/png"
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        "image/jpeg"
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        "image/webp"
    } else {
        return Err(ThemeError::Picture);
    };
    Ok((kind, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_that_cannot_be_read_are_refused() {
        let of = |light, dark| Theme::new("Acme", light, dark, None).map(|theme| theme.css);
        let css = of(Some("#0b5cad"), Some("#6db3f8")).unwrap();
        assert!(css.starts_with(":root { --accent: #0b5cad; --accent-ink: #ffffff; }"), "{css}");
        assert!(css.contains("--accent: #6db3f8; --accent-ink: #08131d"), "{css}");
        let contrast = |error| matches!(error, Err(ThemeError::Contrast { .. }));
        assert!(contrast(of(Some("#ffcc00"), None)));
        assert!(contrast(of(None, Some("#202020"))));
        for bad in ["red", "#fff", "#12345g", "#0b5cad;}body{display:none", "#é0b5ca"] {
            assert_eq!(of(Some(bad), None), Err(ThemeError::Colour("accent")), "{bad}");
        }
    }

    #[test]
    fn r26_no_picture_can_act() {
        let of = |bytes: &[u8]| Theme::new("Acme", None, None, Some(bytes.to_vec()));
        for svg in
            [&b"<svg onload='alert(1)'/>"[..], b"<?xml version='1.0'?><svg/>", b"GIF89a", b""]
        {
            assert!(matches!(of(svg), Err(ThemeError::Picture)));
        }
        assert_eq!(of(b"\x89PNG\r\n\x1a\n<svg").unwrap().logo.unwrap().0, "image/png");
        assert!(matches!(of(&vec![0xff; MAX_LOGO_BYTES + 1]), Err(ThemeError::Size)));
    }
}
