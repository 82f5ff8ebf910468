-- Entries come nearly in the order of their ids. A table of rows takes them at its end; one that is kept by its key is split and
-- balanced at each page, and has fewer rows on one.
create table entries_in_order (
  request_id blob not null,
  attempt integer not null,
  replica text not null,
  boot_id blob not null,
  sequence integer not null,
  customer_id blob not null,
  key_id blob not null,
  model text not null,
  target text not null,
  outcome text not null,
  usage_source text not null,
  admitted_at_us integer not null,
  cost_nanousd integer not null,
  charge_nanousd integer not null,
  unpriced integer not null,
  body blob not null,
  primary key (request_id, attempt)
);

insert into entries_in_order
select
  request_id, attempt, replica, boot_id, sequence, customer_id, key_id, model, target, outcome, usage_source,
  admitted_at_us, cost_nanousd, charge_nanousd, unpriced, body
from entries
order by request_id, attempt;

drop table entries;

alter table entries_in_order rename to entries;

create index entries_by_admission on entries (admitted_at_us);
