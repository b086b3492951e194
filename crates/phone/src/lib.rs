//! Telephone numbers: what somebody typed as E.164, in which region it is, and what kind of line.
//!
//! By the plans of numbers that libphonenumber collects. They tell what a number was given out as, not who has it
//! now: carriers, ports and swapped cards are known to carriers alone.

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, PhoneNumberType, Region};

/// E.164 has 15 digits; what people put between them is not longer than that again.
const MAX_BYTES: usize = 40;

/// The text is no number that anybody can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a telephone number with + and the code of its country")]
pub struct PhoneError;

/// What kind of line a number was given out for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhoneKind {
    /// A mobile telephone.
    Mobile,
    /// A line of a house.
    FixedLine,
    /// One of both: the plan does not tell them apart, as in North America.
    FixedLineOrMobile,
    /// A line over the Internet.
    Voip,
    /// Free for whoever calls.
    TollFree,
    /// Dear for whoever calls.
    PremiumRate,
    /// Paid by both.
    SharedCost,
    /// Follows a person from line to line.
    Personal,
    /// A pager.
    Pager,
    /// A company, whichever of its lines.
    Uan,
    /// A mailbox for calls.
    Voicemail,
    /// The plan does not say.
    Unknown,
}

impl PhoneKind {
    /// All there are, as they are written.
    pub const ALL: [&'static str; 12] = [
        "mobile",
        "fixed_line",
        "fixed_line_or_mobile",
        "voip",
        "toll_free",
        "premium_rate",
        "shared_cost",
        "personal",
        "pager",
        "uan",
        "voicemail",
        "unknown",
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mobile => "mobile",
            Self::FixedLine => "fixed_line",
            Self::FixedLineOrMobile => "fixed_line_or_mobile",
            Self::Voip => "voip",
            Self::TollFree => "toll_free",
            Self::PremiumRate => "premium_rate",
            Self::SharedCost => "shared_cost",
            Self::Personal => "personal",
            Self::Pager => "pager",
            Self::Uan => "uan",
            Self::Voicemail => "voicemail",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a person may get text messages there, at the price of a message. Numbers that follow a person from line
    /// to line are dear to call and to text.
    pub fn takes_texts(self) -> bool {
        matches!(self, Self::Mobile | Self::FixedLineOrMobile | Self::Voip)
    }
}

impl From<PhoneNumberType> for PhoneKind {
    fn from(kind: PhoneNumberType) -> Self {
        match kind {
            PhoneNumberType::Mobile => Self::Mobile,
            PhoneNumberType::FixedLine => Self::FixedLine,
            PhoneNumberType::FixedLineOrMobile => Self::FixedLineOrMobile,
            PhoneNumberType::VoIP => Self::Voip,
            PhoneNumberType::TollFree => Self::TollFree,
            PhoneNumberType::PremiumRate => Self::PremiumRate,
            PhoneNumberType::SharedCost => Self::SharedCost,
            PhoneNumberType::PersonalNumber => Self::Personal,
            PhoneNumberType::Pager => Self::Pager,
            PhoneNumberType::UAN => Self::Uan,
            PhoneNumberType::VoiceMail => Self::Voicemail,
            PhoneNumberType::Unknown => Self::Unknown,
        }
    }
}

/// A number that somebody may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phone {
    /// E.164, `+49301234567`.
    pub number: String,
    /// ISO 3166-1 with two letters; none for one of no country.
    pub region: Option<String>,
    /// What it was given out for.
    pub kind: PhoneKind,
}

impl Phone {
    /// Reads what somebody typed: with `+` or `00` and the code of the country, or as it is dialled in `home`.
    pub fn read(text: &str, home: Option<&str>) -> Result<Self, PhoneError> {
        let text = text.trim();
        // No letters, of which some stand for digits, and no extensions.
        let fits = |char: char| char.is_ascii_digit() || "+ -()./\u{a0}".contains(char);
        if text.len() > MAX_BYTES || !text.chars().all(fits) {
            return Err(PhoneError);
        }
        let abroad = text.strip_prefix("00").map(|rest| format!("+{rest}"));
        let home = home.map(|code| code.parse::<Region>()).transpose().map_err(|_| PhoneError)?;
        let text = abroad.as_deref().unwrap_or(text);
        let number = PHONE_NUMBER_UTIL.parse(text, home).map_err(|_| PhoneError)?;
        if !PHONE_NUMBER_UTIL.is_valid_number(&number) {
            return Err(PhoneError);
        }
        let kind = PHONE_NUMBER_UTIL.get_number_type(&number);
        let region = PHONE_NUMBER_UTIL.get_region_for_number(&number);
        let region = region.map(|region| region.to_string());
        Ok(Self {
            number: PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164).into_owned(),
            // 001 is the world.
            region: region.filter(|code| code.bytes().all(|byte| byte.is_ascii_alphabetic())),
            kind: kind.into(),
        })
    }
}

/// Whether numbers of a region are known, with two letters.
pub fn is_region(code: &str) -> bool {
    code.len() == 2
        && code
            .parse::<Region>()
            .is_ok_and(|region| PHONE_NUMBER_UTIL.get_country_code_for_region(region).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_they_were_given_out_for() {
        for (typed, home, number, region, kind) in [
            ("+49 1512 3456789", None, "+4915123456789", Some("DE"), PhoneKind::Mobile),
            ("0151 23456789", Some("DE"), "+4915123456789", Some("DE"), PhoneKind::Mobile),
            ("0044 7911 123456", Some("DE"), "+447911123456", Some("GG"), PhoneKind::Mobile),
            (
                "(212) 555-1234",
                Some("US"),
                "+12125551234",
                Some("US"),
                PhoneKind::FixedLineOrMobile,
            ),
            ("+49 (0)30 12345678", None, "+493012345678", Some("DE"), PhoneKind::FixedLine),
            ("+1 800 555 1234", None, "+18005551234", Some("US"), PhoneKind::TollFree),
            ("+878 10 1111111111", None, "+878101111111111", None, PhoneKind::Voip),
            ("+44 70 1234 5678", None, "+447012345678", Some("GB"), PhoneKind::Personal),
            ("+44 909 012 3456", None, "+449090123456", Some("GB"), PhoneKind::PremiumRate),
        ] {
            let phone = Phone::read(typed, home).unwrap();
            assert_eq!(phone.number, number, "{typed}");
            assert_eq!((phone.region.as_deref(), phone.kind), (region, kind), "{typed}");
            assert!(PhoneKind::ALL.contains(&kind.as_str()));
            assert!(!(kind == PhoneKind::Personal && kind.takes_texts()));
        }
    }

    #[test]
    fn what_nobody_can_have_is_refused() {
        for typed in [
            "",
            "+",
            "0151 23456789",
            "+49 1",
            "+49 1512 3456789 ext. 3",
            "+1 800 FLOWERS",
            "+999 12345678",
            "+49 900 12",
            "tel:+4915123456789;phone-context=+49",
            "+4915123456789\u{0}",
            &format!("+49{}", "1".repeat(60)),
        ] {
            assert_eq!(Phone::read(typed, None), Err(PhoneError), "{typed}");
        }
        assert!(Phone::read("0151 23456789", Some("XX")).is_err());
        assert!(is_region("DE") && !is_region("ZZ") && !is_region("001") && !is_region("DEU"));
    }
}
