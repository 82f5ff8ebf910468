//! What customers keep at providers, in Postgres.

use sqlx::{Connection, PgConnection, Row, postgres::PgRow};
use tokio::time::timeout;
use tollgate_core::id::{CustomerId, KeyId, ObjectId, RequestId};

use super::{PostgresStore, WRITE_MAX, row};
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
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
on conflict do nothing"
);
const NAME: &str = "
update objects
set
  upstream_id = $2,
  poll_after_us = (extract(epoch from clock_timestamp()) * 1000000)::bigint + $3
where id = $1
  and upstream_id is null";
const FORGET: &str = "
delete from objects
where id = $1
  and upstream_id is null";
const OF_CUSTOMER: &str = concat!(
    "
select ",
    columns!(),
    "
from objects
where customer_id = $1
  and kind = $2
  and upstream_id = $3
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
where provider = $1
  and kind = $2
  and upstream_id = $3"
);
const NEWEST: &str = concat!(
    "
select ",
    columns!(),
    "
from objects
where customer_id = $1
  and kind = $2
  and upstream_id is not null
  and deleted_at_us is null
  and (created_at_us, id) < ($3, $4)
order by created_at_us desc, id desc
limit $5"
);
const OLDEST: &str = concat!(
    "
select ",
    columns!(),
    "
from objects
where customer_id = $1
  and kind = $2
  and upstream_id is not null
  and deleted_at_us is null
  and (created_at_us, id) > ($3, $4)
order by created_at_us, id
limit $5"
);
const DELETE: &str = "
update objects
set deleted_at_us = coalesce(deleted_at_us, $2)
where id = $1";
const CLAIM: &str = concat!(
    "
update objects
set
  poll_after_us = (extract(epoch from clock_timestamp()) * 1000000)::bigint + $1,
  polled_at_us = (extract(epoch from clock_timestamp()) * 1000000)::bigint
where id = (
  select id
  from objects
  where poll_after_us is not null
    and poll_after_us <= (extract(epoch from clock_timestamp()) * 1000000)::bigint
  order by poll_after_us
  limit 1
  for update skip locked
)
returning ",
    columns!()
);
const POLL: &str = "
update objects
set poll_after_us = (extract(epoch from clock_timestamp()) * 1000000)::bigint + $2
where id = $1
  and metered_at_us is null";
const FORGET_RESPONSES: &str = "
delete from objects
where id in (
  select id
  from objects
  where id < $1
    and kind = 'response'
  order by id
  limit $2
)";
const FINISH: &str = "
update objects
set finished_at_us = coalesce(finished_at_us, $2)
where id = $1
returning finished_at_us";
const METERED: &str = "
update objects
set
  result_lines = case when metered_at_us is null then $3 else result_lines end,
  metered_at_us = coalesce(metered_at_us, $2),
  poll_after_us = null
where id = $1";

pub(super) const STATEMENTS: &[&str] =
    &[INSERT, NAME, FORGET, OF_CUSTOMER, AT, NEWEST, OLDEST, DELETE, CLAIM, POLL, FORGET_RESPONSES, FINISH, METERED];

impl PostgresStore {
    pub(in crate::store) async fn bind_objects(&self, objects: &[ObjectRow]) -> Result<u64, StoreError> {
        let mut session = self.writer.session().await?;
        let done = timeout(WRITE_MAX, bind_on(&mut session, objects)).await;
        session.settle(WRITE_MAX, done)
    }

    pub(in crate::store) async fn name_object(
        &self,
        id: ObjectId,
        upstream_id: &str,
        poll_in_us: Option<i64>,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(NAME).bind(row::uuid(id.bytes())).bind(upstream_id).bind(poll_in_us);
        let done = self.writer.execute(query).await;
        Ok(done.map_err(|error| exists(error, || format!("an object {upstream_id}")))?.rows_affected() > 0)
    }

    pub(in crate::store) async fn forget_object(&self, id: ObjectId) -> Result<(), StoreError> {
        self.writer.execute(sqlx::query(FORGET).bind(row::uuid(id.bytes()))).await?;
        Ok(())
    }

    pub(in crate::store) async fn object(
        &self,
        customer_id: CustomerId,
        kind: ObjectKind,
        upstream_id: &str,
    ) -> Result<Option<ObjectRow>, StoreError> {
        let query = sqlx::query(OF_CUSTOMER).bind(row::uuid(customer_id.bytes())).bind(kind.name()).bind(upstream_id);
        self.readers.fetch_optional(query).await?.as_ref().map(read).transpose()
    }

    pub(in crate::store) async fn object_at(
        &self,
        provider: &str,
        kind: ObjectKind,
        upstream_id: &str,
    ) -> Result<Option<ObjectRow>, StoreError> {
        let query = sqlx::query(AT).bind(provider).bind(kind.name()).bind(upstream_id);
        self.readers.fetch_optional(query).await?.as_ref().map(read).transpose()
    }

    pub(in crate::store) async fn objects_page(&self, page: &PageOf) -> Result<Vec<ObjectRow>, StoreError> {
        let (statement, from) = match (page.oldest_first, &page.after) {
            (true, Some((at_us, id))) => (OLDEST, (*at_us, *id.bytes())),
            (true, None) => (OLDEST, (i64::MIN, [0; 16])),
            (false, Some((at_us, id))) => (NEWEST, (*at_us, *id.bytes())),
            (false, None) => (NEWEST, (i64::MAX, [255; 16])),
        };
        let query = sqlx::query(statement)
            .bind(row::uuid(page.customer_id.bytes()))
            .bind(page.kind.name())
            .bind(from.0)
            .bind(row::uuid(&from.1))
            .bind(i64::from(page.rows_max));
        self.readers.fetch_all(query).await?.iter().map(read).collect()
    }

    pub(in crate::store) async fn delete_object(&self, id: ObjectId, at_us: i64) -> Result<(), StoreError> {
        self.writer.execute(sqlx::query(DELETE).bind(row::uuid(id.bytes())).bind(at_us)).await?;
        Ok(())
    }

    pub(in crate::store) async fn claim_object(&self, held_us: i64) -> Result<Option<ObjectRow>, StoreError> {
        self.writer.fetch_optional(sqlx::query(CLAIM).bind(held_us)).await?.as_ref().map(read).transpose()
    }

    pub(in crate::store) async fn poll_object(&self, id: ObjectId, wait_us: i64) -> Result<(), StoreError> {
        self.writer.execute(sqlx::query(POLL).bind(row::uuid(id.bytes())).bind(wait_us)).await?;
        Ok(())
    }

    pub(in crate::store) async fn forget_responses(&self, before: ObjectId, rows_max: u32) -> Result<u64, StoreError> {
        let query = sqlx::query(FORGET_RESPONSES).bind(row::uuid(before.bytes())).bind(i64::from(rows_max));
        Ok(self.writer.execute(query).await?.rows_affected())
    }

    pub(in crate::store) async fn finish_object(&self, id: ObjectId, at_us: i64) -> Result<i64, StoreError> {
        let query = sqlx::query(FINISH).bind(row::uuid(id.bytes())).bind(at_us);
        let found = self.writer.fetch_optional(query).await?;
        Ok(found.ok_or_else(|| StoreError::NotFound(id.to_string()))?.try_get("finished_at_us")?)
    }

    pub(in crate::store) async fn object_is_metered(
        &self,
        id: ObjectId,
        at_us: i64,
        result_lines: i64,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(METERED).bind(row::uuid(id.bytes())).bind(at_us).bind(result_lines);
        self.writer.execute(query).await?;
        Ok(())
    }
}

async fn bind_on(connection: &mut PgConnection, objects: &[ObjectRow]) -> Result<u64, StoreError> {
    let mut tx = connection.begin().await?;
    let mut bound = 0;
    for object in objects {
        bound += insertion(object)?.execute(&mut *tx).await?.rows_affected();
    }
    tx.commit().await?;
    Ok(bound)
}

type Ask<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn insertion(object: &ObjectRow) -> Result<Ask<'_>, StoreError> {
    Ok(sqlx::query(INSERT)
        .bind(row::uuid(object.id.bytes()))
        .bind(object.kind.name())
        .bind(&object.provider)
        .bind(&object.upstream_id)
        .bind(row::uuid(object.customer_id.bytes()))
        .bind(row::uuid(object.key_id.bytes()))
        .bind(row::uuid(object.request_id.bytes()))
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

fn read(from: &PgRow) -> Result<ObjectRow, StoreError> {
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
