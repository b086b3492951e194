//! What wallets send.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_credentials::{
    Asked, Presentation, Verified,
    dcql::{Query, Unanswered},
};
use portcullis_events::{Actor, Origin};
use portcullis_jose::from_slice_strict;
use portcullis_store::idv::presentations::{self, PresentationRow};
use portcullis_types::{Id, same_secret, tags};
use serde_json::{Map, Value};

use crate::SessionError;

use super::{
    PresentationError, PresentationStatus, Presentations, ShownCredential, TRIES_MAX,
    issuers::Distrust, purpose,
};

/// Presentations in one answer.
const SHOWN_MAX: usize = 32;

/// What a wallet sends (OpenID4VP 1.0, section 8.2).
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// Presentations for each credential query, as JSON.
    pub vp_token: Option<String>,
    /// What the request said.
    pub state: Option<String>,
    /// That the holder says no, or why the wallet cannot.
    pub error: Option<String>,
}

/// What came of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// It counts.
    Taken,
    /// There is no such request, or it cannot be answered any more.
    Gone,
    /// It is refused, for a reason in a word.
    Refused(&'static str),
}

/// Everything that was shown, proven and asked for.
pub(super) type Shown = BTreeMap<String, Vec<(Verified, Map<String, Value>)>>;

impl Presentations {
    /// Takes the answer of a wallet.
    pub async fn answer(
        &self,
        id: Id<tags::Presentation>,
        response: Response,
        origin: &Origin,
    ) -> Result<Answered, PresentationError> {
        let row = presentations::by_id(&self.db, &self.tenant, id).await?;
        let row = row.filter(|row| self.status(row) == PresentationStatus::Pending);
        let Some(row) = row else { return Ok(Answered::Gone) };
        if let Some(session) = row.session() {
            match self.sessions.read(session).await {
                Ok(open) if !open.state.status.is_final() => {}
                Ok(_) | Err(SessionError::NotFound | SessionError::Erased) => {
                    return Ok(Answered::Gone);
                }
                Err(error) => return Err(error.into()),
            }
        }
        // Counted before anything is looked at or anybody asked, so that nobody gains by sending many at once.
        let limits = (self.clock.now(), TRIES_MAX);
        let counted = self.db.write(|tx| async move {
            Ok::<_, PresentationError>(
                presentations::count_try(&tx, &self.tenant, id, limits).await?,
            )
        });
        if !counted.await? {
            return Ok(Answered::Gone);
        }
        let state = response.state.unwrap_or_default();
        if !same_secret(state.as_bytes(), id.to_string().as_bytes()) {
            return self.refuse(&row, "state_wrong", origin).await;
        }
        let shown = match (response.vp_token, response.error) {
            (Some(token), None) => {
                // Whoever hangs up has had their try, and what was asked for them is there for others.
                let (this, asked) = (self.clone(), row.clone());
                let checked = tokio::spawn(async move { this.checked(&asked, &token).await });
                checked.await.map_err(|_| PresentationError::Sealed)??
            }
            // Nothing proves who says so: it is noted, and the holder may think better of it.
            (None, Some(error)) if error == "access_denied" => Err("access_denied"),
            (None, Some(_)) => Err("wallet_failed"),
            _ => Err("response_malformed"),
        };
        match shown {
            Ok(shown) if row.session_id.is_some() => self.take_step(&row, shown, origin).await,
            Ok(shown) => self.keep(&row, shown, origin).await,
            Err(code) => self.refuse(&row, code, origin).await,
        }
    }

    /// Everything in a `vp_token`, if all of it holds and is what was asked for.
    async fn checked(
        &self,
        row: &PresentationRow,
        token: &str,
    ) -> Result<Result<Shown, &'static str>, PresentationError> {
        let token: Result<BTreeMap<String, Vec<String>>, _> = from_slice_strict(token.as_bytes());
        let Ok(token) = token else { return Ok(Err("response_malformed")) };
        if token.values().map(Vec::len).sum::<usize>() > SHOWN_MAX {
            return Ok(Err("response_malformed"));
        }
        let query: Query =
            serde_json::from_str(&row.query).map_err(|_| PresentationError::Sealed)?;
        let mut verified: BTreeMap<String, Vec<Verified>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        if !token.values().flatten().all(|text| seen.insert(text)) {
            return Ok(Err("credential_repeated"));
        }
        for (id, texts) in &token {
            for text in texts {
                match self.verify(row, text).await? {
                    Ok(one) => verified.entry(id.clone()).or_default().push(one),
                    Err(distrust) => return Ok(Err(distrust.code())),
                }
            }
        }
        let told = match query.answer(&verified) {
            Ok(told) => told,
            Err(Unanswered::Type) => return Ok(Err("credential_type_unknown")),
            Err(Unanswered::Claim) => return Ok(Err("claim_missing")),
            Err(Unanswered::Credential) => return Ok(Err("credential_missing")),
        };
        let pair = |(id, verified): (String, Vec<Verified>)| {
            let told = told.get(&id).cloned().unwrap_or_default();
            (id, verified.into_iter().zip(told).collect())
        };
        Ok(Ok(verified.into_iter().map(pair).collect()))
    }

    /// Checks one presentation up to whom we trust.
    async fn verify(
        &self,
        row: &PresentationRow,
        text: &str,
    ) -> Result<Result<Verified, Distrust>, PresentationError> {
        let asked = Asked { audience: &row.audience, nonce: &row.nonce, now: self.clock.now() };
        self.look(text, &asked).await
    }

    /// Checks a presentation that its holder made for whoever asked.
    pub(super) async fn look(
        &self,
        text: &str,
        asked: &Asked<'_>,
    ) -> Result<Result<Verified, Distrust>, PresentationError> {
        let shown = match Presentation::parse(text) {
            Ok(shown) => shown,
            Err(error) => return Ok(Err(error.into())),
        };
        let keys = match self.keys_for(&shown).await {
            Ok(keys) => keys,
            Err(distrust) => return Ok(Err(distrust)),
        };
        let verified = match shown.verify(keys.as_slice(), asked) {
            Ok(verified) => verified,
            Err(error) => return Ok(Err(error.into())),
        };
        let status = verified.status.as_ref();
        let standing = self.check_status(&verified.issuer, &keys, status).await?;
        Ok(standing.map(|()| verified))
    }

    /// Keeps what was shown for whoever asked.
    async fn keep(
        &self,
        row: &PresentationRow,
        shown: Shown,
        origin: &Origin,
    ) -> Result<Answered, PresentationError> {
        let each = shown.into_iter().flat_map(|(query, each)| {
            each.into_iter().map(move |(verified, claims)| ShownCredential {
                query: query.clone(),
                issuer: verified.issuer,
                vct: verified.vct,
                claims: Value::Object(claims),
            })
        });
        let shown: Vec<ShownCredential> = each.collect();
        let text = serde_json::to_vec(&shown).map_err(|_| PresentationError::Sealed)?;
        let sealed = self.sealer.seal(&purpose(row.id), &text, &*self.entropy)?;
        let event = &self.event(row, "passed", &[], &Actor::Anonymous, Some(origin));
        let (now, sealed) = (self.clock.now(), &sealed[..]);
        let kept = self.db.write(|tx| async move {
            if !presentations::answer(&tx, &self.tenant, row.id, sealed, now).await? {
                return Ok(Answered::Gone);
            }
            tx.emit(event.clone()).await?;
            Ok::<_, PresentationError>(Answered::Taken)
        });
        kept.await
    }

    pub(super) async fn refuse(
        &self,
        row: &PresentationRow,
        code: &'static str,
        origin: &Origin,
    ) -> Result<Answered, PresentationError> {
        let event = &self.event(row, "failed", &[code], &Actor::Anonymous, Some(origin));
        let refused = self.db.write(|tx| async move {
            presentations::refuse(&tx, &self.tenant, row.id, code).await?;
            Ok::<_, PresentationError>(tx.emit(event.clone()).await?)
        });
        refused.await?;
        Ok(Answered::Refused(code))
    }
}
