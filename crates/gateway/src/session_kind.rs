//! The kinds of sessions that the gate keeps for browsers.

/// What a session is for. Each kind has cookies, addresses and a client of its own: a service behind the gate
/// never gets what the console may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// Services behind the gate.
    Services,
    /// The console, which speaks to the APIs of this process.
    Console,
}

impl SessionKind {
    /// The cookie with the tokens.
    pub(crate) const fn cookie(self) -> &'static str {
        match self {
            Self::Services => "__Host-portcullis-gate",
            Self::Console => "__Host-portcullis-console",
        }
    }

    /// The cookie of a login that has begun.
    pub(crate) const fn attempt(self) -> &'static str {
        match self {
            Self::Services => "__Host-portcullis-gate-login",
            Self::Console => "__Host-portcullis-console-login",
        }
    }

    /// Where the provider sends people back to.
    pub const fn callback(self) -> &'static str {
        match self {
            Self::Services => "/.portcullis/callback",
            Self::Console => "/.portcullis/console/callback",
        }
    }

    /// Where people prove once more who they are, and with `?login` where they begin anew: in a window of its own,
    /// so that what they were doing stays. Services have no such window.
    pub(crate) const fn again(self) -> Option<&'static str> {
        match self {
            Self::Services => None,
            Self::Console => Some("/.portcullis/console/again"),
        }
    }

    /// Where people end their session.
    pub const fn logout(self) -> &'static str {
        match self {
            Self::Services => "/.portcullis/logout",
            Self::Console => "/.portcullis/console/logout",
        }
    }
}
