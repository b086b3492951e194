//! Changes that weaken the installation, or hand it to somebody.

use portcullis_events::{AccountChange, Actor, AdminChange};
use serde_json::Value;

use crate::{
    AdminTampering,
    sight::Sight,
    watch::{Found, Raise},
};

/// What makes an account or key one of an administrator.
const ADMIN: &str = "admin";

/// Looks at what an administrator did.
pub(crate) fn change(sight: &Sight<'_>, change: &AdminChange, raise: &mut Raise<'_>) {
    // What the product does for itself, such as at its first start, is no news.
    if sight.event.actor == Actor::System {
        return;
    }
    let gained =
        |field: &str| holds(change.after.as_ref(), field) && !holds(change.before.as_ref(), field);
    let what = match (change.object_type, change.action) {
        ("signing_key", "revoke" | "retire" | "delete") => "a signing key was taken out of use",
        ("key_encryption_key", _) => "the key-encryption key was changed",
        ("certificate_authority", _) => "the certificate authority was changed",
        ("api_key", "create") if gained("scopes") => "an API key for administration was made",
        ("user", "create" | "update") if gained("roles") => "an account became an administrator's",
        ("group", "create" | "update") if gained("roles") => "a group became one of administrators",
        ("client", "create" | "update") if gained("scopes") => {
            "a client may now ask for administration"
        }
        _ => return,
    };
    let subject = sight.both(b'm', sight.text(b'm', change.object_type), &change.object);
    raise.raise(&AdminTampering::RULE, subject, || Found {
        description: format!(
            "By an administrator {what}: {} {}.",
            change.object_type, change.object
        ),
        ..Found::default()
    });
}

/// Looks at what was done to an account by somebody else.
pub(crate) fn account(sight: &Sight<'_>, change: &AccountChange, raise: &mut Raise<'_>) {
    let what = match change.change {
        "factors_reset" => "the second factors of an account were removed",
        "impersonated" => "an account is used by somebody else",
        _ => return,
    };
    let Some(who) = sight.who(&change.user) else { return };
    raise.raise(&AdminTampering::RULE, who.key, || Found {
        accounts: vec![who.id],
        description: format!("By an administrator {what}."),
        ..Found::default()
    });
}

/// Whether `field` of an object, a text or a list of texts, has the word in it.
fn holds(object: Option<&Value>, field: &str) -> bool {
    match object.and_then(|object| object.get(field)) {
        Some(Value::String(text)) => text.split(' ').any(|word| word == ADMIN),
        Some(Value::Array(list)) => list.iter().any(|item| item == ADMIN),
        _ => false,
    }
}
