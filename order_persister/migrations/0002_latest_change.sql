-- Where the latest change of a refused order stands, so that it can be told as it is once it has left Redis.

-- All null: an older persister wrote the letter. `latest_state` other than `reservation_state`: an older persister
-- moved the order on since, and the five others are out of date.
alter table dead_letter
    add column latest_state    text,          -- what `reservation_state` was when these were written
    add column latest_revision integer,
    add column latest_time     timestamptz,
    add column latest_epoch    bigint,        -- with shard: where the latest change stands
    add column latest_seq      bigint,
    add column latest_index    integer;
