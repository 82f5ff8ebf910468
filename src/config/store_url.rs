//! Which database keeps the books: a path, a Postgres URL, or a secret that leads to one.
//!
//! A URL with a password is a secret and is never written in a configuration, shown or logged.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::secret::{Secret, SecretError};

/// `[store] url` as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// Written in the clear: nothing in it is secret.
    Plain(Database),
    /// `env:NAME` or `file:PATH`, read when the store is opened.
    Secret(Secret),
}

/// A database.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// The file of an SQLite database.
    Sqlite(PathBuf),
    /// The URL of a Postgres database, perhaps with a password in it.
    Postgres(String),
}

/// Why a text is no database.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Neither of the two forms.
    #[error("write sqlite://PATH or postgres://USER@HOST/DATABASE, or env:NAME or file:PATH that leads to one")]
    Form,
    /// There is a password in it.
    #[error("a URL with a password is a secret: write env:NAME or file:PATH, and put the URL there")]
    Password,
}

/// Why the database of a configuration cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum StoreUrlError {
    /// The secret cannot be had.
    #[error("[store] url: {0}")]
    Secret(#[from] SecretError),
    /// It is no URL; what it is stays a secret.
    #[error("[store] url leads to no database: {0}")]
    Bad(BadUrl),
}

impl StoreUrl {
    /// Reads what stands in a configuration; empty: the file in `data_dir`.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub fn parse(text: &str, secret: Option<Secret>, data_dir: &Path) -> Result<Self, BadUrl> {
        if text.is_empty() {
            return Ok(Self::Plain(Database::Sqlite(data_dir.join("tollgate.db"))));
        }
        if let Some(secret) = secret {
            return Ok(Self::Secret(secret));
        }
        if has_password(text) {
            return Err(BadUrl::Password);
        }
        Database::parse(text).map(Self::Plain).ok_or(BadUrl::Form)
    }

    /// The database, the secret read.
    ///
    /// # Errors
    /// [`StoreUrlError`], which never shows the URL.
    pub fn resolve(&self) -> Result<Database, StoreUrlError> {
        match self {
            Self::Plain(database) => Ok(database.clone()),
            Self::Secret(secret) => Database::parse(&secret.read()?).ok_or(StoreUrlError::Bad(BadUrl::Form)),
        }
    }
}

impl Database {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once("://") {
            Some(("sqlite", path)) if !path.is_empty() => Some(Self::Sqlite(path.into())),
            Some(("postgres" | "postgresql", rest)) if !rest.is_empty() => Some(Self::Postgres(text.to_owned())),
            _ => None,
        }
    }
}

fn has_password(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let in_authority = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    in_authority || query.split('&').any(|pair| pair.starts_with("password="))
}

/// Shows that there is a URL, never what stands in it.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(_) => f.write_str("postgres://..."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<StoreUrl, BadUrl> {
        StoreUrl::parse(text, None, Path::new("data"))
    }

    #[test]
    fn a_url_with_a_password_is_refused_in_the_clear_and_never_shown() {
        for url in
            ["postgres://me:hunter2@db/books", "postgresql://me:hunter2@db", "postgres://db/books?user=me&password=x"]
        {
            assert_eq!(parse(url), Err(BadUrl::Password), "{url}");
        }
        let secret = StoreUrl::Secret(Secret::Env {
            name: "DATABASE_URL".into(),
            value: Some("postgres://me:hunter2@db/books".into()),
        });
        let shown = format!("{secret:?} {:?}", secret.resolve().unwrap());
        assert_eq!(shown, "Secret(env:DATABASE_URL) postgres://...");
    }

    #[test]
    fn a_path_a_plain_url_and_nothing_are_databases() {
        assert_eq!(parse(""), Ok(StoreUrl::Plain(Database::Sqlite("data/tollgate.db".into()))));
        assert_eq!(parse("sqlite://x.db"), Ok(StoreUrl::Plain(Database::Sqlite("x.db".into()))));
        let plain = "postgres://me@localhost:5432/books?host=/run/postgresql";
        assert_eq!(parse(plain), Ok(StoreUrl::Plain(Database::Postgres(plain.into()))));
        for bad in ["sqlite://", "postgres://", "mysql://x", "x.db"] {
            assert_eq!(parse(bad), Err(BadUrl::Form), "{bad}");
        }
    }
}
