//! What the page says. Texts are in English here, and in every language in the catalogues.

use portcullis_workflow::Status;

/// What a step asks for.
pub(super) struct StepWords {
    pub title: &'static str,
    pub intro: &'static str,
    /// `zone`, `picture`, `selfie`, `address`, `number`, `code`, `wallet`, `offer`, `questions` or `chip`.
    pub kind: &'static str,
}

/// Where a verification is.
pub(super) struct StatusWords {
    pub title: &'static str,
    pub tone: &'static str,
    pub text: &'static str,
}

/// What people need for a check, before they begin.
pub(super) const NEEDS: [(&str, &str); 10] = [
    ("questionnaire", "answers to a few questions"),
    ("email", "your e-mail"),
    ("phone", "your telephone, for a text message"),
    ("credential", "a wallet with a proof of who you are"),
    ("mrz", "a passport, an identity card or a visa, for the lines of letters at its bottom"),
    ("barcode", "a driving licence with a wide barcode on its back, and a camera"),
    ("image", "a document, and a camera"),
    (
        "proof_of_address",
        "a bill or a letter with your name and address, not older than three months",
    ),
    ("selfie", "a camera, for a picture of your face"),
    ("emrtd", "the app that you were given, to read the chip of your document"),
];

pub(super) fn step(check: &str, sent: bool) -> StepWords {
    match check {
        "credential" if sent => StepWords {
            title: "Open your wallet",
            intro: "Read this with your wallet, or open it here if the wallet is on this device. Your wallet shows what \
                    is asked for, and asks you before it tells anything. This page follows by itself.",
            kind: "offer",
        },
        "credential" => StepWords {
            title: "Show a proof of who you are",
            intro: "Somebody who has verified you before has put a proof of that into your wallet. Show it here, and \
                    you need no document.",
            kind: "wallet",
        },
        "mrz" => StepWords {
            title: "Type the lines of your document",
            intro: "At the bottom of the page with your picture, or on the back of a card, are two or three \
                    lines of letters, digits and the sign <. Type them as they stand there.",
            kind: "zone",
        },
        "barcode" => StepWords {
            title: "Photograph the back of your licence",
            intro: "Lay it flat in good light, and fill the frame with the wide barcode.",
            kind: "picture",
        },
        "selfie" => StepWords {
            title: "Take a picture of yourself",
            intro: "Look straight into the camera, alone and in good light, without hat and sunglasses, and fill the \
                    frame with your face.",
            kind: "selfie",
        },
        "emrtd" => StepWords {
            title: "Read the chip of your document",
            intro: "A browser cannot read chips. Do it in the app that you were given; this page follows by itself.",
            kind: "chip",
        },
        "questionnaire" => StepWords {
            title: "A few questions",
            intro: "Answer as well as you can. What you say is kept encrypted, for whoever asked you to do this.",
            kind: "questions",
        },
        "email" if sent => StepWords {
            title: "Type the code",
            intro: "We have sent six digits by mail. They work for ten minutes.",
            kind: "code",
        },
        "email" => StepWords {
            title: "Confirm your e-mail address",
            intro: "We send six digits to it, which you type on the next page.",
            kind: "address",
        },
        "phone" if sent => StepWords {
            title: "Type the code",
            intro: "We have sent six digits by text message. They work for ten minutes.",
            kind: "code",
        },
        "phone" => StepWords {
            title: "Confirm your telephone number",
            intro: "We send six digits to it by text message, which you type on the next page.",
            kind: "number",
        },
        "proof_of_address" => StepWords {
            title: "Show where you live",
            intro: "Send a bill, a bank statement or a letter of an authority with your name and address, not older \
                    than three months: as a file, or as a picture of all of it.",
            kind: "picture",
        },
        _ => StepWords {
            title: "Photograph your document",
            intro: "Lay it flat in good light, without reflections, and fill the frame with it.",
            kind: "picture",
        },
    }
}

/// An address as its owner knows it and nobody else learns it.
pub(super) fn masked(address: &str) -> String {
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let first: String = local.chars().take(1).collect();
    format!("{first}…@{domain}")
}

/// A number as its owner knows it: the first three and the last two signs.
pub(super) fn masked_number(number: &str) -> String {
    let signs: Vec<char> = number.chars().collect();
    let first: String = signs.iter().take(3).collect();
    let last: String = signs[signs.len().saturating_sub(2)..].iter().collect();
    format!("{first}…{last}")
}

/// Why something is to be given once more.
pub(super) fn retake(code: &str) -> Option<&'static str> {
    Some(match code {
        "zone_unreadable" => {
            "These are not the lines of a document. Compare them sign by sign; 0 and O are not the same."
        }
        "check_digit_wrong" => "A digit is not right. Compare each line with the document.",
        "date_impossible" => "There is no such date. Compare each line with the document.",
        "barcode_not_found" => "There is no barcode in the picture.",
        "barcode_unreadable" => "The barcode cannot be read.",
        "document_unreadable" => "The document cannot be read.",
        "face_not_found" => "There is no face in the picture.",
        "several_faces" => "There is somebody else in the picture. It must be you alone.",
        "face_too_small" => "Your face is too small. Come closer.",
        "face_turned" => "Look straight into the camera.",
        "picture_unusable" => "The picture cannot be opened. It must be a JPEG or a PNG.",
        "picture_too_small" => "The picture has too few pixels. Go closer.",
        "picture_blurred" => "The picture is blurred. Hold still until it is sharp.",
        "picture_dark" => "The picture is too dark.",
        "picture_bright" => "The picture is too bright.",
        _ => return None,
    })
}

/// What the person may know of why it came to nothing: what they can see on the document themselves. Whether
/// somebody is on a list, or is not who was expected, is not theirs to hear from us.
pub(super) fn ended(code: &str) -> Option<&'static str> {
    match code {
        "code_wrong" => Some("The code was wrong too often."),
        "document_expired" => Some("Your document has expired."),
        code => retake(code),
    }
}

/// Why somebody cannot take a step, as far as it makes sense for it.
pub(super) fn reasons(check: &str) -> Vec<(&'static str, &'static str)> {
    let fits = |reason: &str| match reason {
        "no_chip" | "no_nfc" => check == "emrtd",
        // What has nothing to do with documents.
        "no_document" | "damaged" | "lost" => {
            !matches!(check, "email" | "phone" | "credential" | "questionnaire" | "selfie")
        }
        "no_wallet" => check == "credential",
        "no_camera" => matches!(check, "barcode" | "image" | "proof_of_address" | "selfie"),
        _ => true,
    };
    [
        ("no_wallet", "I have no such proof"),
        ("no_chip", "My document has no chip"),
        ("no_nfc", "My phone cannot read chips"),
        ("no_camera", "I have no camera"),
        ("no_document", "I have no such document"),
        ("damaged", "My document is damaged"),
        ("lost", "I have lost my document"),
        ("refused", "I do not want to"),
        ("other", "Something else"),
    ]
    .into_iter()
    .filter(|(reason, _)| fits(reason))
    .collect()
}

pub(super) fn status(status: Status) -> StatusWords {
    let (title, tone, text) = match status {
        Status::Created | Status::AwaitingInput | Status::Processing => {
            ("One moment", "", "What you gave is being checked. This page goes on by itself.")
        }
        Status::InReview => (
            "Somebody looks at it",
            "",
            "This may take a while. You can close this page, and come back by the same link.",
        ),
        Status::Approved => (
            "You are verified",
            "good",
            "Whoever asked you has been told. You can close this page.",
        ),
        Status::Declined => (
            "You could not be verified",
            "bad",
            "Whoever asked you has been told, and can say how it goes on.",
        ),
        Status::Expired => ("The time is up", "bad", "Ask for a new link."),
        Status::Cancelled => {
            ("This was ended", "bad", "Whoever asked you does not need it any more.")
        }
    };
    StatusWords { title, tone, text }
}

#[cfg(test)]
mod tests {
    use portcullis_workflow::CATALOGUE;

    use super::*;

    #[test]
    fn whatever_is_asked_for_again_says_why() {
        for code in CATALOGUE.iter().flat_map(|check| check.retake) {
            assert!(retake(code).is_some(), "{code}");
        }
        for secret in ["field_differs", "printed_differs", "listed", "authority_unknown"] {
            assert!(ended(secret).is_none(), "{secret}");
        }
    }

    #[test]
    fn everything_is_said_in_every_language() {
        use portcullis_texts::{Lang, speaking_now, t};
        let checks = CATALOGUE.iter().map(|check| check.name);
        let steps = checks
            .clone()
            .flat_map(|check| [step(check, false), step(check, true)])
            .flat_map(|words| [words.title, words.intro]);
        let states =
            Status::ALL.map(status).into_iter().flat_map(|words| [words.title, words.text]);
        let again = CATALOGUE.iter().flat_map(|check| check.retake).filter_map(|code| retake(code));
        let reasons = checks.flat_map(reasons).map(|(_, text)| text);
        let all = steps
            .chain(states)
            .chain(again)
            .chain(reasons)
            .chain(ended("document_expired"))
            .chain(ended("code_wrong"));
        for text in all.chain(NEEDS.map(|(_, text)| text)) {
            for lang in [Lang::De, Lang::Es, Lang::Fr] {
                speaking_now(lang, || assert_ne!(t(text), text, "{lang:?}"));
            }
        }
    }

    #[test]
    fn every_reason_is_one_that_is_taken() {
        for (reason, _) in CATALOGUE.iter().flat_map(|check| reasons(check.name)) {
            assert!(portcullis_verification::UNSUPPORTED.contains(&reason), "{reason}");
        }
    }
}
