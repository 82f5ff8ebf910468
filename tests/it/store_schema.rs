//! The schemas fit the statements, on both engines.

use sqlx::{Connection, Row};
use tollgate::{
    config::{
        self,
        store_url::{Database, StoreUrl},
    },
    store::{Store, StoreError},
};

use crate::{
    books::postgres_store,
    cluster::{Cluster, open},
};

#[tokio::test]
async fn every_statement_prepares_on_both_engines() {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = Store::open(&dir.path().join("t.db")).await.unwrap();
    let (postgres, _) = postgres_store().await;
    for store in [sqlite, postgres] {
        let prepared = store.prepare_statements().await.unwrap();
        assert!(prepared > 50, "{prepared} statements only");
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_start_together_migrate_once() {
    let url = Cluster::shared().database().await;
    let starting: Vec<_> = (0..5)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { open(&url).await })
        })
        .collect();
    for store in starting {
        store.await.unwrap().close().await;
    }
}

#[tokio::test]
async fn a_store_that_is_left_to_the_operator_is_refused_until_it_is_migrated() {
    let url = Cluster::shared().database().await;
    let database = StoreUrl::Plain(Database::Postgres(url.clone()));
    let manual = config::Store { migrate_at_start: false, ..config::Store::new(database.clone()) };
    let refused = Store::open_configured(&manual).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotMigrated(_)), "{refused}");
    Store::connect(&database).await.unwrap().migrate().await.unwrap();
    Store::open_configured(&manual).await.unwrap();
}

#[tokio::test]
async fn both_engines_have_the_same_tables_and_columns() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    Store::open(&path).await.unwrap().close().await;
    let (_store, url) = postgres_store().await;
    let mut sqlite = sqlx::SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let in_sqlite = "select t.name || '.' || c.name as name from sqlite_schema t, pragma_table_info(t.name) c where t.type = 'table'";
    let mut expected: Vec<String> =
        sqlx::query(in_sqlite).fetch_all(&mut sqlite).await.unwrap().iter().map(|row| row.get("name")).collect();
    let mut postgres = sqlx::PgConnection::connect(&url).await.unwrap();
    let in_postgres = "select table_name || '.' || column_name as name from information_schema.columns \
                       where table_schema = 'public' and table_name !~ '^entries_'";
    let mut found: Vec<String> =
        sqlx::query(in_postgres).fetch_all(&mut postgres).await.unwrap().iter().map(|row| row.get("name")).collect();
    for columns in [&mut expected, &mut found] {
        columns.retain(|name| !name.starts_with("_sqlx") && !name.starts_with("sqlite_"));
        columns.sort();
    }
    assert!(expected.len() > 60);
    assert_eq!(expected, found);
}
