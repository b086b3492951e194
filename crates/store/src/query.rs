//! Queries with their parameters, and where rows come from.

use std::future::Future;

use portcullis_types::{Id, Tag, Timestamp};
use sqlx::{
    AssertSqlSafe, FromRow, Row as _,
    postgres::{PgArguments, PgRow},
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::db::{Begun, Db, DbError, Open, Pools, Tx};

/// Statements that go to SQLite's thread together. Each such text is prepared and kept, so that there should be few.
const LATER_MAX: usize = 12;

/// A value for a parameter.
#[derive(Debug, Clone)]
pub enum Arg {
    /// TEXT.
    Text(Option<String>),
    /// BIGINT.
    Int(Option<i64>),
    /// BOOLEAN.
    Bool(bool),
    /// BYTEA.
    Bytes(Vec<u8>),
}

macro_rules! args {
    ($($from:ty => |$value:ident| $arg:expr;)*) => {$(
        impl From<$from> for Arg {
            fn from($value: $from) -> Self {
                $arg
            }
        }
    )*};
}
args! {
    &str => |value| Self::Text(Some(value.to_owned()));
    String => |value| Self::Text(Some(value));
    &String => |value| Self::Text(Some(value.clone()));
    Option<String> => |value| Self::Text(value);
    Option<&str> => |value| Self::Text(value.map(str::to_owned));
    i64 => |value| Self::Int(Some(value));
    Option<i64> => |value| Self::Int(value);
    Timestamp => |value| Self::Int(Some(value.micros()));
    Option<Timestamp> => |value| Self::Int(value.map(Timestamp::micros));
    bool => |value| Self::Bool(value);
    Vec<u8> => |value| Self::Bytes(value);
    &[u8] => |value| Self::Bytes(value.to_vec());
}
impl<T: Tag> From<Id<T>> for Arg {
    fn from(id: Id<T>) -> Self {
        Self::Text(Some(id.to_string()))
    }
}

/// A query with its parameters, `$1` and so on.
#[derive(Debug, Clone)]
pub struct Query {
    sqlite: &'static str,
    postgres: &'static str,
    args: Vec<Arg>,
}

/// A query whose text both databases understand.
pub fn sql(text: &'static str) -> Query {
    per(text, text)
}

/// A query whose text differs between the databases.
pub fn per(sqlite: &'static str, postgres: &'static str) -> Query {
    Query { sqlite, postgres, args: Vec::new() }
}

impl Query {
    /// Adds the next parameter.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Arg>) -> Self {
        self.args.push(value.into());
        self
    }

    /// Runs it and returns how many rows it changed.
    pub async fn execute(self, tx: &Tx) -> Result<u64, DbError> {
        let mut open = tx.0.lock().await;
        let open = open.as_mut().ok_or(DbError::Ended)?;
        flush(open).await?;
        let failed_before = std::mem::replace(&mut open.has_failed, true);
        let changed = match &mut open.begun {
            Begun::Sqlite(tx) => {
                let query = sqlx::query_with(self.sqlite, sqlite_arguments(self.args)?);
                query.execute(&mut **tx).await?.rows_affected()
            }
            Begun::Postgres(tx) => {
                let query = sqlx::query_with(self.postgres, postgres_arguments(self.args)?);
                query.execute(&mut **tx).await?.rows_affected()
            }
        };
        open.has_failed = failed_before;
        Ok(changed)
    }

    /// Runs it before the transaction commits or looks at anything, and tells nobody how many rows it changed. SQLite has
    /// a thread of its own, and going there and back costs more than most statements: those that nobody waits for go
    /// there together. What fails, fails whatever made them go, and with it the transaction.
    pub async fn later(self, tx: &Tx) -> Result<(), DbError> {
        {
            let mut open = tx.0.lock().await;
            let open = open.as_mut().ok_or(DbError::Ended)?;
            if matches!(open.begun, Begun::Sqlite(_)) {
                open.later.push(self);
                return match open.later.len() < LATER_MAX {
                    true => Ok(()),
                    false => flush(open).await,
                };
            }
        }
        self.execute(tx).await.map(drop)
    }

    /// All rows, read once in a transaction that does not change them.
    pub async fn once<T: Row + Clone + Sync>(self, tx: &Tx) -> Result<Vec<T>, DbError> {
        let key = format!("{}{:?}", self.sqlite, self.args);
        {
            let open = tx.0.lock().await;
            let known = open.as_ref().ok_or(DbError::Ended)?.once.get(&key);
            if let Some(rows) = known.and_then(|rows| rows.downcast_ref::<Vec<T>>()) {
                return Ok(rows.clone());
            }
        }
        let rows: Vec<T> = tx.fetch(self).await?;
        let mut open = tx.0.lock().await;
        open.as_mut().ok_or(DbError::Ended)?.once.insert(key, Box::new(rows.clone()));
        Ok(rows)
    }

    /// What the database would do to answer, a step a line.
    pub async fn plan(self, db: &Db) -> Result<Vec<String>, DbError> {
        match &db.pools {
            Pools::Sqlite { read, .. } => {
                let text = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", self.sqlite));
                let arguments = sqlite_arguments(self.args)?;
                let rows = sqlx::query_with(text, arguments).fetch_all(read).await?;
                Ok(rows.iter().map(|row| row.try_get("detail")).collect::<Result<_, _>>()?)
            }
            Pools::Postgres(pool) => {
                let text = AssertSqlSafe(format!("EXPLAIN {}", self.postgres));
                let arguments = postgres_arguments(self.args)?;
                let rows = sqlx::query_with(text, arguments).fetch_all(pool).await?;
                Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
            }
        }
    }

    /// All rows.
    pub async fn all<T: Row>(self, source: impl Source) -> Result<Vec<T>, DbError> {
        source.fetch(self).await
    }

    /// The only row, or none.
    pub async fn optional<T: Row>(self, source: impl Source) -> Result<Option<T>, DbError> {
        let mut rows = source.fetch(self).await?;
        Ok(if rows.is_empty() { None } else { Some(rows.swap_remove(0)) })
    }
}

/// A row that either database can give.
pub trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static
{
}
impl<T> Row for T where
    T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static
{
}

/// Where rows are read from: the database, or a transaction that must see its own changes.
pub trait Source {
    /// Reads all rows of `query`.
    fn fetch<T: Row>(self, query: Query) -> impl Future<Output = Result<Vec<T>, DbError>> + Send;
}

impl Source for &Db {
    async fn fetch<T: Row>(self, query: Query) -> Result<Vec<T>, DbError> {
        match &self.pools {
            Pools::Sqlite { read, .. } => {
                let arguments = sqlite_arguments(query.args)?;
                Ok(sqlx::query_as_with(query.sqlite, arguments).fetch_all(read).await?)
            }
            Pools::Postgres(pool) => {
                let arguments = postgres_arguments(query.args)?;
                Ok(sqlx::query_as_with(query.postgres, arguments).fetch_all(pool).await?)
            }
        }
    }
}

impl Source for &Tx {
    async fn fetch<T: Row>(self, query: Query) -> Result<Vec<T>, DbError> {
        let mut open = self.0.lock().await;
        let open = open.as_mut().ok_or(DbError::Ended)?;
        flush(open).await?;
        let failed_before = std::mem::replace(&mut open.has_failed, true);
        let rows = match &mut open.begun {
            Begun::Sqlite(tx) => {
                let arguments = sqlite_arguments(query.args)?;
                sqlx::query_as_with(query.sqlite, arguments).fetch_all(&mut **tx).await?
            }
            Begun::Postgres(tx) => {
                let arguments = postgres_arguments(query.args)?;
                sqlx::query_as_with(query.postgres, arguments).fetch_all(&mut **tx).await?
            }
        };
        open.has_failed = failed_before;
        Ok(rows)
    }
}

/// Runs what was put off.
pub(crate) async fn flush(open: &mut Open) -> Result<(), DbError> {
    let Begun::Sqlite(tx) = &mut open.begun else { return Ok(()) };
    if open.is_broken {
        return Err(DbError::Ended);
    }
    let later = std::mem::take(&mut open.later);
    if later.is_empty() {
        return Ok(());
    }
    let (text, args) = joined(later);
    open.is_broken = true;
    let query = sqlx::query_with(AssertSqlSafe(text), sqlite_arguments(args)?);
    query.execute(&mut **tx).await?;
    open.is_broken = false;
    Ok(())
}

/// Statements one after the other, with their parameters: the numbers of those go on.
fn joined(queries: Vec<Query>) -> (String, Vec<Arg>) {
    let (mut text, mut args) = (String::new(), Vec::new());
    for query in queries {
        let mut rest = query.sqlite;
        while let Some(at) = rest.find('$') {
            let (before, after) = rest.split_at(at + 1);
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            let (number, after) = after.split_at(digits);
            text.push_str(before);
            match number.parse::<usize>() {
                Ok(number) => text.push_str(&(args.len() + number).to_string()),
                Err(_) => text.push_str(number),
            }
            rest = after;
        }
        text.push_str(rest);
        text.push(';');
        args.extend(query.args);
    }
    (text, args)
}

macro_rules! bind_arguments {
    ($name:ident, $arguments:ty) => {
        fn $name(args: Vec<Arg>) -> Result<$arguments, DbError> {
            use sqlx::Arguments;
            let mut bound = <$arguments>::default();
            for arg in args {
                match arg {
                    Arg::Text(value) => bound.add(value),
                    Arg::Int(value) => bound.add(value),
                    Arg::Bool(value) => bound.add(value),
                    Arg::Bytes(value) => bound.add(value),
                }
                .map_err(sqlx::Error::Encode)?;
            }
            Ok(bound)
        }
    };
}
bind_arguments!(sqlite_arguments, SqliteArguments);
bind_arguments!(postgres_arguments, PgArguments);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_parameters_go_on() {
        let one = sql("INSERT INTO a VALUES ($1, $2)").bind("x").bind(7);
        let two = sql("UPDATE b SET c = $2 WHERE d = $1 AND e = $12 || '$'").bind(true).bind(8);
        let (text, args) = joined(vec![one, two]);
        assert_eq!(
            text,
            "INSERT INTO a VALUES ($1, $2);UPDATE b SET c = $4 WHERE d = $3 AND e = $14 || '$';"
        );
        assert_eq!(args.len(), 4);
    }
}
