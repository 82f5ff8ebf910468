//! The engine that a fleet shares: entries partitioned by day, batches as arrays, one transaction a batch.
//!
//! Every wait is bounded: for a connection, for a lock, for a statement, for a dead peer on either side. A caller is told
//! that the database is away; it never hangs on it.

mod archives;
mod boots;
mod changes;
mod customers;
mod dead_letters;
mod dump;
mod entries;
mod keys;
mod objects;
mod partitions;
mod pins;
mod price_sets;
mod prices;
mod replicas;
mod rollups;
mod row;
mod sessions;
mod training;
mod worker_hours;

use std::{
    net::IpAddr,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, Connection, Executor, SqlSafeStr,
    postgres::{PgConnectOptions, PgSslMode},
};
use tokio::time::timeout;

pub(super) use self::changes::PostgresListener;
use self::{
    partitions::KnownDays,
    sessions::{Sessions, bounded, pool_options},
};
use super::StoreError;
use crate::config::store_url::{BadUrl, StoreUrlError};

/// Connections that post: of them one is used at a time, but a slow one must not hold up an admin command's write.
const WRITERS: u32 = 2;
/// Connections of reports and of the watch over changes.
const READERS: u32 = 6;
/// Wait for closing connections at the end; a hanging one is dropped.
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// A read takes at most so long; then its connection is given up.
const READ_MAX: Duration = Duration::from_secs(5);
/// The same for a write, its commit included.
const WRITE_MAX: Duration = Duration::from_secs(15);
/// The same for a statement that reads whole tables: reports, pages of the audit. As long as the server works on one.
const REPORT_MAX: Duration = Duration::from_secs(60);
/// The same for one step of what moves whole tables: a piece of a dump, a day that is sealed.
const STEP_MAX: Duration = Duration::from_secs(600);
/// Migrating, and waiting for another process that does.
const MIGRATE_MAX: Duration = Duration::from_secs(3600);
/// What every session asks of the server. A commit that is acknowledged is on the server's disk, whatever its default:
/// the journal forgets what was posted. The rest bounds what a slow query, a lock or a peer that is gone can hold up.
const SESSION: &[(&str, &str)] = &[
    ("synchronous_commit", "on"),
    ("bytea_output", "hex"),
    ("statement_timeout", "60s"),
    ("lock_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "60s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// A Postgres database. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct PostgresStore {
    writer: Sessions,
    readers: Sessions,
    known_days: Arc<KnownDays>,
}

impl PostgresStore {
    /// `url` has credentials in it: it is read here and goes nowhere else.
    pub(super) async fn connect(url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url).map_err(|_| StoreUrlError::Bad(BadUrl::Form))?;
        let options = options.application_name("tollgate").options(SESSION.iter().copied());
        if is_in_the_clear(&options) {
            tracing::warn!(
                "the connection to Postgres goes to another host and may be in the clear: add sslmode=verify-full (or require) to the URL"
            );
        }
        let pool = |connections| pool_options(connections).connect_with(options.clone());
        Ok(Self {
            writer: Sessions::new(pool(WRITERS).await?, WRITE_MAX),
            readers: Sessions::new(pool(READERS).await?, READ_MAX),
            known_days: Arc::default(),
        })
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        // A connection of its own: the lock that lets one process migrate at a time goes with it, also after an error.
        let mut connection = self.writer.pool().acquire().await?.detach();
        let migrating = async {
            (&mut connection).execute("set statement_timeout = 0").await?;
            (&mut connection).execute("set lock_timeout = 0").await?;
            Ok(sqlx::migrate!("migrations/postgres").run_direct(None, &mut connection, false).await?)
        };
        let migrated: Result<(), StoreError> = bounded(MIGRATE_MAX, migrating).await;
        // Gone is as good as closed.
        let _closed = timeout(CLOSE_MAX, connection.close()).await;
        migrated
    }

    /// One session that began a transaction when it connected, and stays in it. A second one would see another moment, so
    /// there is none: when the first is lost, reading fails.
    pub(super) async fn snapshot(&self) -> Result<Self, StoreError> {
        let is_taken = Arc::new(AtomicBool::new(false));
        let options = pool_options(1).idle_timeout(None).max_lifetime(None).after_connect(move |connection, _| {
            let is_taken = Arc::clone(&is_taken);
            Box::pin(async move {
                if is_taken.swap(true, Ordering::AcqRel) {
                    return Err(sqlx::Error::PoolClosed);
                }
                connection.execute("set idle_in_transaction_session_timeout = '10min'").await?;
                connection.execute("begin isolation level repeatable read, read only").await?;
                connection.execute("select 1 from changes").await?;
                Ok(())
            })
        });
        let reader = options.connect_with(self.readers.pool().connect_options().as_ref().clone()).await?;
        let reader = Sessions::new(reader, REPORT_MAX);
        Ok(Self { writer: reader.clone(), readers: reader, known_days: Arc::clone(&self.known_days) })
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.readers.execute(sqlx::query("select 1")).await?;
        Ok(())
    }

    pub(super) async fn close(&self) {
        // What does not close in time is dropped with the process.
        let _in_time = timeout(CLOSE_MAX, self.readers.pool().close()).await;
        let _in_time = timeout(CLOSE_MAX, self.writer.pool().close()).await;
    }

    pub(super) async fn prepare_statements(&self) -> Result<usize, StoreError> {
        let statements = statements();
        let mut session = self.readers.session().await?;
        let preparing = async {
            for statement in &statements {
                let prepared = (&mut *session).prepare(AssertSqlSafe(statement.as_str()).into_sql_str()).await;
                prepared.map_err(|error| StoreError::Statement {
                    statement: statement.clone(),
                    reason: error.to_string(),
                })?;
            }
            Ok(statements.len())
        };
        let done = timeout(REPORT_MAX, preparing).await;
        session.settle(REPORT_MAX, done)
    }
}

/// Whether what is sent may be read on the way: to another host, without TLS being asked for.
fn is_in_the_clear(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_local = options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || address.is_ok_and(|address| address.is_loopback());
    !is_local && matches!(options.get_ssl_mode(), PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer)
}

/// Every statement, so that a test can prepare them all.
fn statements() -> Vec<String> {
    let constants = [
        archives::STATEMENTS,
        boots::STATEMENTS,
        changes::STATEMENTS,
        customers::STATEMENTS,
        dead_letters::STATEMENTS,
        dump::STATEMENTS,
        entries::STATEMENTS,
        keys::STATEMENTS,
        objects::STATEMENTS,
        partitions::STATEMENTS,
        pins::STATEMENTS,
        price_sets::STATEMENTS,
        prices::STATEMENTS,
        replicas::STATEMENTS,
        rollups::STATEMENTS,
        training::STATEMENTS,
        worker_hours::STATEMENTS,
    ];
    let made = rollups::made_statements().into_iter().chain(dump::made_statements());
    constants.concat().into_iter().map(str::to_owned).chain(made).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_to_another_host_is_in_the_clear_unless_tls_is_asked_for() {
        let in_the_clear = |url: &str| is_in_the_clear(&PgConnectOptions::from_str(url).unwrap());
        for url in [
            "postgres://me@db.example/books",
            "postgres://me@db.example/books?sslmode=prefer",
            "postgres://me@10.0.0.7/books?sslmode=disable",
            "postgres://me@[2001:db8::1]/books",
        ] {
            assert!(in_the_clear(url), "{url}");
        }
        for url in [
            "postgres://me@db.example/books?sslmode=require",
            "postgres://me@db.example/books?sslmode=verify-full",
            "postgres://me@localhost/books",
            "postgres://me@127.0.0.1:5432/books",
            "postgres://me@[::1]/books",
            "postgres://me@localhost/books?host=/run/postgresql",
        ] {
            assert!(!in_the_clear(url), "{url}");
        }
    }
}
