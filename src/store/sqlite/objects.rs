//! What customers keep at providers, in SQLite.

use sqlx::{Row, sqlite::SqliteRow};
use tollgate_core::id::{CustomerId, KeyId, ObjectId, RequestId};

use super::{SqliteStore, row};
use crate::store::{
    StoreError, column, exists,
    objects::{ObjectKind, ObjectRow, PageOf},
};

/// All columns, in the order of [`INSERT`].
macro_rules! columns {
    () => {
        "id, kind, provider, upstream_id, customer_id, key_id, request_id, model, target, price_book, detail, \
         created_at_us, deleted_at_us, finished_at_us, metered_at_us, result_lines, polled_at_us, poll_after_us"
    };
}

const INSERT: &str = concat!(
    "
insert into objects (",
    columns!(),
    ")
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict do nothing"
);
const NAME: &str = "
update objects
set
  upstream_id = ?2,
  poll_after_us = cast(unixepoch('subsec') * 1000000 as integer) + ?3
where id = ?1
  and upstream_id is null";
const FORGET: &str = "
delete from objects
where id = ?
  and upstream_id is null";
const OF_CUSTOMER: &str = concat!(
    "
select ",
    columns!(),
    "
from objects
where customer_id = ?
  and kind = ?
  and upstream_id = ?
  and deleted_at_us is null
order by created_at_us desc, id desc
limit 1"
);
const AT: &str = concat!(
    "
select ",
    columns!(),
    "
from objects
where provider = ?
  and kind = ?
  and upstream_id = ?"
);
const NEWEST: &str = concat!(
    "
select ",
    columns!(),
    "
from objects
where customer_id = ?
  and kind = ?
  and upstream_id is not null
  and deleted_at_us is null
  and (created_at_us, id) < (?, ?)
order by created_at_us desc, id desc
limit ?"
);
const OLDEST: &str = concat!(
    "
select ",
    columns!(),
    "
from objects
where customer_id = ?
  and kind = ?
  and upstream_id is not null
  and deleted_at_us is null
  and (created_at_us, id) > (?, ?)
order by created_at_us, id
limit ?"
);
const DELETE: &str = "
update objects
set deleted_at_us = coalesce(deleted_at_us, ?2)
where id = ?1";
const CLAIM: &str = concat!(
    "
update objects
set
  poll_after_us = cast(unixepoch('subsec') * 1000000 as integer) + ?1,
  polled_at_us = cast(unixepoch('subsec') * 1000000 as integer)
where id = (
  select id
  from objects
  where poll_after_us is not null
    and poll_after_us <= cast(unixepoch('subsec') * 1000000 as integer)
  order by poll_after_us
  limit 1
)
returning ",
    columns!()
);
const POLL: &str = "
update objects
set poll_after_us = cast(unixepoch('subsec') * 1000000 as integer) + ?2
where id = ?1
  and metered_at_us is null";
const FORGET_RESPONSES: &str = "
delete from objects
where id in (
  select id
  from objects
  where id < ?
    and kind = 'response'
  order by id
  limit ?
)";
const FINISH: &str = "
update objects
set finished_at_us = coalesce(finished_at_us, ?2)
where id = ?1
returning finished_at_us";
const METERED: &str = "
update objects
set
  result_lines = case when metered_at_us is null then ?3 else result_lines end,
  metered_at_us = coalesce(metered_at_us, ?2),
  poll_after_us = null
where id = ?1";

pub(super) const STATEMENTS: &[&str] =
    &[INSERT, NAME, FORGET, OF_CUSTOMER, AT, NEWEST, OLDEST, DELETE, CLAIM, POLL, FORGET_RESPONSES, FINISH, METERED];

impl SqliteStore {
    pub(in crate::store) async fn bind_objects(&self, objects: &[ObjectRow]) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let mut bound = 0;
        for object in objects {
            bound += insertion(object)?.execute(&mut *tx).await?.rows_affected();
        }
        tx.commit().await?;
        Ok(bound)
    }

    pub(in crate::store) async fn name_object(
        &self,
        id: ObjectId,
        upstream_id: &str,
        poll_in_us: Option<i64>,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(NAME).bind(id.bytes().as_slice()).bind(upstream_id).bind(poll_in_us);
        let done =
            query.execute(&self.writer).await.map_err(|error| exists(error, || format!("an object {upstream_id}")))?;
        Ok(done.rows_affected() > 0)
    }

    pub(in crate::store) async fn forget_object(&self, id: ObjectId) -> Result<(), StoreError> {
        sqlx::query(FORGET).bind(id.bytes().as_slice()).execute(&self.writer).await?;
        Ok(())
    }

    pub(in crate::store) async fn object(
        &self,
        customer_id: CustomerId,
        kind: ObjectKind,
        upstream_id: &str,
    ) -> Result<Option<ObjectRow>, StoreError> {
        let query = sqlx::query(OF_CUSTOMER).bind(customer_id.bytes().as_slice()).bind(kind.name()).bind(upstream_id);
        query.fetch_optional(&self.readers).await?.as_ref().map(read).transpose()
    }

    pub(in crate::store) async fn object_at(
        &self,
        provider: &str,
        kind: ObjectKind,
        upstream_id: &str,
    ) -> Result<Option<ObjectRow>, StoreError> {
        let query = sqlx::query(AT).bind(provider).bind(kind.name()).bind(upstream_id);
        query.fetch_optional(&self.readers).await?.as_ref().map(read).transpose()
    }

    pub(in crate::store) async fn objects_page(&self, page: &PageOf) -> Result<Vec<ObjectRow>, StoreError> {
        let (statement, from) = match (page.oldest_first, &page.after) {
            (true, Some((at_us, id))) => (OLDEST, (*at_us, *id.bytes())),
            (true, None) => (OLDEST, (i64::MIN, [0; 16])),
            (false, Some((at_us, id))) => (NEWEST, (*at_us, *id.bytes())),
            (false, None) => (NEWEST, (i64::MAX, [255; 16])),
        };
        let query = sqlx::query(statement)
            .bind(page.customer_id.bytes().as_slice())
            .bind(page.kind.name())
            .bind(from.0)
            .bind(from.1.as_slice())
            .bind(page.rows_max);
        query.fetch_all(&self.readers).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn delete_object(&self, id: ObjectId, at_us: i64) -> Result<(), StoreError> {
        sqlx::query(DELETE).bind(id.bytes().as_slice()).bind(at_us).execute(&self.writer).await?;
        Ok(())
    }

    pub(in crate::store) async fn claim_object(&self, held_us: i64) -> Result<Option<ObjectRow>, StoreError> {
        sqlx::query(CLAIM).bind(held_us).fetch_optional(&self.writer).await?.as_ref().map(read).transpose()
    }

    pub(in crate::store) async fn poll_object(&self, id: ObjectId, wait_us: i64) -> Result<(), StoreError> {
        sqlx::query(POLL).bind(id.bytes().as_slice()).bind(wait_us).execute(&self.writer).await?;
        Ok(())
    }

    pub(in crate::store) async fn forget_responses(&self, before: ObjectId, rows_max: u32) -> Result<u64, StoreError> {
        let query = sqlx::query(FORGET_RESPONSES).bind(before.bytes().as_slice()).bind(rows_max);
        Ok(query.execute(&self.writer).await?.rows_affected())
    }

    pub(in crate::store) async fn finish_object(&self, id: ObjectId, at_us: i64) -> Result<i64, StoreError> {
        let found = sqlx::query(FINISH).bind(id.bytes().as_slice()).bind(at_us).fetch_optional(&self.writer).await?;
        Ok(found.ok_or_else(|| StoreError::NotFound(id.to_string()))?.try_get("finished_at_us")?)
    }

    pub(in crate::store) async fn object_is_metered(
        &self,
        id: ObjectId,
        at_us: i64,
        result_lines: i64,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(METERED).bind(id.bytes().as_slice()).bind(at_us).bind(result_lines);
        query.execute(&self.writer).await?;
        Ok(())
    }
}

type Ask<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

fn insertion(object: &ObjectRow) -> Result<Ask<'_>, StoreError> {
    Ok(sqlx::query(INSERT)
        .bind(object.id.bytes().as_slice())
        .bind(object.kind.name())
        .bind(&object.provider)
        .bind(&object.upstream_id)
        .bind(object.customer_id.bytes().as_slice())
        .bind(object.key_id.bytes().as_slice())
        .bind(object.request_id.bytes().as_slice())
        .bind(&object.model)
        .bind(&object.target)
        .bind(&object.price_book)
        .bind(&object.detail)
        .bind(object.created_at_us)
        .bind(object.deleted_at_us)
        .bind(object.finished_at_us)
        .bind(object.metered_at_us)
        .bind(object.result_lines.map(column).transpose()?)
        .bind(object.polled_at_us)
        .bind(object.poll_after_us))
}

fn read(from: &SqliteRow) -> Result<ObjectRow, StoreError> {
    let lines: Option<i64> = from.try_get("result_lines")?;
    Ok(ObjectRow {
        id: ObjectId::from_bytes(row::id(from, "id")?),
        kind: ObjectKind::from_name(from.try_get("kind")?)?,
        provider: from.try_get("provider")?,
        upstream_id: from.try_get("upstream_id")?,
        customer_id: CustomerId::from_bytes(row::id(from, "customer_id")?),
        key_id: KeyId::from_bytes(row::id(from, "key_id")?),
        request_id: RequestId::from_bytes(row::id(from, "request_id")?),
        model: from.try_get("model")?,
        target: from.try_get("target")?,
        price_book: from.try_get("price_book")?,
        detail: from.try_get("detail")?,
        created_at_us: from.try_get("created_at_us")?,
        deleted_at_us: from.try_get("deleted_at_us")?,
        finished_at_us: from.try_get("finished_at_us")?,
        metered_at_us: from.try_get("metered_at_us")?,
        result_lines: lines.map(|lines| u64::try_from(lines).map_err(|_| StoreError::Damaged("count"))).transpose()?,
        polled_at_us: from.try_get("polled_at_us")?,
        poll_after_us: from.try_get("poll_after_us")?,
    })
}
