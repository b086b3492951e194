use std::{borrow::Cow, collections::HashMap, str::FromStr};

use portcullis_events::{Actor, Origin};
use portcullis_jose::from_slice_strict;
use portcullis_oidc::Params;
use portcullis_types::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, Ref, RefOr,
        schema::{Schema, Type},
    },
};

use crate::ApiError;

/// A page has this many objects unless the caller asks for fewer.
const DEFAULT_PAGE: i64 = 50;
/// A page has at most this many objects.
const MAX_PAGE: i64 = 200;

/// Who is calling, as the gate found out. Put into the request by the server.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The same for the log.
    pub actor: Actor,
    /// The `sub` of the token, or the id of the key.
    pub id: String,
    /// The scopes.
    pub scopes: Vec<String>,
    /// Whether somebody else acts as them (`act`, RFC 8693).
    pub acted: bool,
}

/// One call, read but not understood.
#[derive(Debug)]
pub(crate) struct Call {
    pub caller: Caller,
    pub origin: Origin,
    pub path: HashMap<String, String>,
    pub query: Params,
    /// `Idempotency-Key`, as it came.
    pub key: Option<String>,
    pub body: Vec<u8>,
}

impl Call {
    /// The body, an object, as `T`. Unknown and repeated members are refused.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        // An array would be read as the members in their order.
        let first = self.body.iter().find(|byte| !byte.is_ascii_whitespace());
        if first != Some(&b'{') {
            return Err(ApiError::Body);
        }
        from_slice_strict(&self.body).map_err(|_| ApiError::Body)
    }

    /// The `{id}` of the path.
    pub fn id<T: FromStr>(&self) -> Result<T, ApiError> {
        let text = self.path.get("id").ok_or(ApiError::NotFound)?;
        text.parse().map_err(|_| ApiError::NotFound)
    }

    /// `from` and `until` of the query, where they are given.
    pub fn times(&self) -> Result<(Option<Timestamp>, Option<Timestamp>), ApiError> {
        let time = |name: &'static str| {
            let time = self.query.get(name).map(Timestamp::parse_rfc3339).transpose();
            time.map_err(|_| ApiError::Parameter(name))
        };
        Ok((time("from")?, time("until")?))
    }

    /// A number in the path.
    pub fn number(&self, name: &'static str) -> Result<i64, ApiError> {
        let text = self.path.get(name).ok_or(ApiError::NotFound)?;
        let digits = text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits).ok_or(ApiError::NotFound)
    }

    /// What makes two requests one, if the caller says so: 1 to 255 letters without spaces.
    pub fn idempotency_key(&self) -> Result<Option<&str>, ApiError> {
        match self.key.as_deref() {
            Some(key) if key.is_empty() || key.len() > 255 => {
                Err(ApiError::Parameter("Idempotency-Key"))
            }
            Some(key) if !key.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(ApiError::Parameter("Idempotency-Key"))
            }
            key => Ok(key),
        }
    }

    /// Where a page begins that is not in the order of ids, and how long it is.
    pub fn page_after(
        &self,
        name: &'static str,
        longest: usize,
    ) -> Result<(String, i64), ApiError> {
        let after = self.query.get(name).unwrap_or_default();
        if after.len() > longest || after.chars().any(char::is_control) {
            return Err(ApiError::Parameter(name));
        }
        Ok((after.to_owned(), self.limit()?))
    }

    /// Where the page begins and how long it is. A cursor is the id of the last object seen.
    pub fn page<T: FromStr>(&self) -> Result<(String, i64), ApiError> {
        let after = self.query.get("after").unwrap_or_default();
        if !after.is_empty() && after.parse::<T>().is_err() {
            return Err(ApiError::Parameter("after"));
        }
        Ok((after.to_owned(), self.limit()?))
    }

    fn limit(&self) -> Result<i64, ApiError> {
        let Some(text) = self.query.get("limit") else { return Ok(DEFAULT_PAGE) };
        let limit = text.parse::<i64>().ok().filter(|l| (1..=MAX_PAGE).contains(l));
        limit.ok_or(ApiError::Parameter("limit"))
    }
}

/// A page of objects.
#[derive(Debug, Serialize)]
pub(crate) struct Page<T> {
    /// The objects.
    pub items: Vec<T>,
    /// The cursor of the next page, if there may be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Each kind of page has a name of its own, which what is derived would not give it.
impl<T: ToSchema> PartialSchema for Page<T> {
    fn schema() -> RefOr<Schema> {
        let next = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("The cursor of the next page, if there may be one."));
        let page = ObjectBuilder::new()
            .property("items", Ref::from_schema_name(T::name()).to_array_builder())
            .required("items")
            .property("next", next);
        RefOr::T(page.into())
    }
}

impl<T: ToSchema> ToSchema for Page<T> {
    fn name() -> Cow<'static, str> {
        format!("{}Page", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

impl<T> Page<T> {
    /// A page made of rows; `id` names the last one.
    pub fn of<R>(
        rows: Vec<R>,
        limit: i64,
        id: impl Fn(&R) -> String,
        show: impl Fn(R) -> T,
    ) -> Self {
        let full = i64::try_from(rows.len()).unwrap_or(i64::MAX) >= limit;
        let next = rows.last().filter(|_| full).map(id);
        Self { items: rows.into_iter().map(show).collect(), next }
    }
}
