use std::{collections::BTreeSet, str::FromStr};

use portcullis_types::{Id, tags};

/// Before the id of the passkey, where methods are stored.
const PASSKEY: &str = "passkey:";

/// A way to prove who one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Something known.
    Password,
    /// A code of an authenticator app.
    Totp,
    /// One of the codes kept for the day the app is lost.
    RecoveryCode,
    /// A passkey whose device checked who uses it.
    Passkey,
    /// A link or code sent by mail.
    Mail,
    /// A login at another provider.
    Upstream,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Password, Self::Totp, Self::RecoveryCode, Self::Passkey, Self::Mail, Self::Upstream];

    /// The name in the database and in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "pwd",
            Self::Totp => "totp",
            Self::RecoveryCode => "recovery_code",
            Self::Passkey => "passkey",
            Self::Mail => "mail",
            Self::Upstream => "upstream",
        }
    }
}

impl FromStr for Method {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|method| method.as_str() == text).ok_or(())
    }
}

/// How sure we are of who somebody is. Each is more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assurance {
    /// One factor.
    Single,
    /// Two factors.
    Multi,
    /// Two factors that a false site cannot ask for.
    PhishingResistant,
}

impl Assurance {
    /// All of them, weakest first.
    pub const ALL: [Self; 3] = [Self::Single, Self::Multi, Self::PhishingResistant];

    /// The value of `acr`. `phr` is the name in OpenID Connect EAP ACR Values 1.0; for the others
    /// no registered name fits.
    pub fn acr(self) -> &'static str {
        match self {
            Self::Single => "urn:portcullis:acr:single-factor",
            Self::Multi => "urn:portcullis:acr:multi-factor",
            Self::PhishingResistant => "phr",
        }
    }

    /// The assurance that an `acr` stands for.
    pub fn of_acr(acr: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assurance| assurance.acr() == acr)
    }
}

/// What somebody has proven.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Methods {
    methods: BTreeSet<Method>,
    passkey: Option<Id<tags::Passkey>>,
}

impl Methods {
    /// One way.
    pub fn one(method: Method) -> Self {
        Self { methods: BTreeSet::from([method]), passkey: None }
    }

    /// This passkey.
    pub fn by_passkey(passkey: Id<tags::Passkey>) -> Self {
        Self { passkey: Some(passkey), ..Self::one(Method::Passkey) }
    }

    /// The passkey, if it was one.
    pub fn passkey(&self) -> Option<Id<tags::Passkey>> {
        self.passkey
    }

    /// As stored; names that are not known any more prove nothing.
    pub fn from_row(text: &str) -> Self {
        let passkey = text.split(' ').find_map(|name| name.strip_prefix(PASSKEY)?.parse().ok());
        Self { methods: text.split(' ').filter_map(|name| name.parse().ok()).collect(), passkey }
    }

    /// To be stored.
    pub fn to_row(&self) -> String {
        let passkey = self.passkey.map(|id| format!("{PASSKEY}{id}"));
        let names = self.methods.iter().map(|method| method.as_str().to_owned());
        names.chain(passkey).collect::<Vec<_>>().join(" ")
    }

    /// With one more.
    #[must_use]
    pub fn with(mut self, method: Method) -> Self {
        self.methods.insert(method);
        self
    }

    /// How sure this makes us. Mail is the way to reset a password, so the two are one factor.
    pub fn assurance(&self) -> Assurance {
        let any = |methods: &[Method]| methods.iter().any(|method| self.methods.contains(method));
        if any(&[Method::Passkey]) {
            Assurance::PhishingResistant
        } else if any(&[Method::Password, Method::Mail, Method::Upstream])
            && any(&[Method::Totp, Method::RecoveryCode])
        {
            Assurance::Multi
        } else {
            Assurance::Single
        }
    }

    /// The values of `amr` (RFC 8176, section 2).
    pub fn amr(&self) -> Vec<&'static str> {
        let mut values = BTreeSet::new();
        for method in &self.methods {
            match method {
                Method::Password => values.extend(["pwd"]),
                Method::Totp | Method::RecoveryCode | Method::Mail => values.extend(["otp"]),
                Method::Passkey => values.extend(["pop", "user"]),
                // RFC 8176 has no name for what somebody else looked at.
                Method::Upstream => values.extend(["fed"]),
            }
        }
        if self.assurance() >= Assurance::Multi {
            values.insert("mfa");
        }
        values.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_and_password_are_one_factor() {
        let of = |text: &str| Methods::from_row(text).assurance();
        assert_eq!(of("pwd mail"), Assurance::Single);
        assert_eq!(of("totp"), Assurance::Single);
        assert_eq!(of("pwd totp"), Assurance::Multi);
        assert_eq!(of("mail recovery_code"), Assurance::Multi);
        assert_eq!(of("passkey"), Assurance::PhishingResistant);
        assert_eq!(of("wish"), Assurance::Single);
    }

    #[test]
    fn amr_speaks_rfc_8176() {
        assert_eq!(Methods::from_row("pwd totp").amr(), ["mfa", "otp", "pwd"]);
        assert_eq!(Methods::one(Method::Passkey).amr(), ["mfa", "pop", "user"]);
        let both = Methods::one(Method::Password).with(Method::Totp);
        assert_eq!(Methods::from_row(&both.to_row()), both);
    }

    #[test]
    fn a_passkey_keeps_its_name_and_proves_nothing_by_it() {
        let id = Id::from_bits(7);
        let one = Methods::by_passkey(id);
        assert_eq!(Methods::from_row(&one.to_row()), one);
        assert_eq!(one.clone().with(Method::Totp).passkey(), Some(id));
        assert_eq!(one.amr(), ["mfa", "pop", "user"]);
        let alone = Methods::from_row(&format!("pwd passkey:{id}"));
        assert_eq!(alone.assurance(), Assurance::Single);
        assert_eq!(Methods::from_row("passkey passkey:wish").passkey(), None);
    }
}
