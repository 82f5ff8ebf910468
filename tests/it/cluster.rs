//! A private Postgres: one for all tests of a run, a database for each; or one of a test's own that it may kill.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tollgate::{
    config::{
        self,
        store_url::{Database, StoreUrl},
    },
    store::Store,
};

/// A running server. It ends with this process, however that ends: its keeper waits for the end of its standard input.
pub(crate) struct Cluster {
    pub(crate) dir: PathBuf,
    /// `postgres://tollgate@127.0.0.1:PORT/`
    base: String,
    _keeper: Child,
    _alive: ChildStdin,
}

fn script() -> Command {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/postgres.sh"))
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

impl Cluster {
    /// Starts a server. `fsync` makes it survive a crash, and slow.
    pub(crate) fn start(fsync: bool) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("tollgate-postgres-{}-{number}", std::process::id()));
        let mut keeper = script()
            .arg("run")
            .arg(&dir)
            .env("FSYNC", if fsync { "on" } else { "off" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let alive = keeper.stdin.take().unwrap();
        let mut url = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let base = url.trim().strip_suffix("postgres");
        let base = base.unwrap_or_else(|| {
            panic!("Postgres did not start; its script said why: scripts/setup.sh test installs it")
        });
        Self { dir, base: base.to_owned(), _keeper: keeper, _alive: alive }
    }

    /// The server that tests share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(false))
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("{}{database}", self.base)
    }

    pub(crate) fn port(&self) -> u16 {
        let (_, port) = self.base.trim_end_matches('/').rsplit_once(':').unwrap();
        port.parse().unwrap()
    }

    /// Makes an empty database and gives its URL.
    pub(crate) async fn database(&self) -> String {
        let name = format!("t{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        sqlx::query(AssertSqlSafe(format!("create database {name}"))).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        self.url(&name)
    }

    /// Runs a verb of the script on this cluster: `start`, `stop`, `kill`.
    pub(crate) fn order(&self, verb: &str) {
        let done = script().arg(verb).arg(&self.dir).stdout(Stdio::null()).status().unwrap();
        assert!(done.success(), "{verb}");
    }
}

/// Opens and migrates a store.
pub(crate) async fn open(url: &str) -> Store {
    let config = config::Store::new(StoreUrl::Plain(Database::Postgres(url.to_owned())));
    Store::open_configured(&config).await.unwrap()
}
