-- The ledger's tables: the commits of every shard, each applied once and in order, and the rows that follow from them.

-- The last commit of each shard that is applied. Locked by every transaction that applies one.
create table shard_watermark (
    shard         integer primary key,
    shards        integer not null,        -- N, equal in every row
    epoch         bigint  not null,
    seq           bigint  not null,        -- 0: nothing of this epoch yet
    hash          text    not null,        -- of the last commit applied; '' before the first
    settled_epoch bigint  not null,
    settled_seq   bigint  not null,
    frozen_reason text,                    -- null: not frozen
    facts_epoch   bigint  not null,        -- facts up to here are on Kafka
    facts_seq     bigint  not null,
    read_offset   bigint  not null default 0,   -- the shard's Kafka records below it were read without a gap
    read_digest   bytea   not null default '',  -- SHA-256 of the record before `read_offset`; empty: there is none
    seen_epoch    bigint  not null default 0,   -- with seen_seq: the highest commit of `epoch` that a record named and
    seen_seq      bigint  not null default 0,   -- the ledger could not apply; 0 and 0: none above the watermark
    time_ms       bigint  not null default 0    -- of the last commit applied, by the shard's clock; 0: none
);

-- The epochs of each shard: each row is written by the transaction that began its epoch.
create table shard_epoch (
    shard       integer     not null,
    epoch       bigint      not null,
    base_epoch  bigint      not null,      -- with base_seq: the last commit that the epoch builds on; 0 and 0: none
    base_seq    bigint      not null,
    base_hash   text        not null,      -- of that commit; '' if there is none
    how         text        not null,      -- OPENED: first epoch; ADOPTED: Redis had its state; LOADED: from the ledger
    known_lost  boolean     not null,      -- whether commits above the base were known to be lost
    accepted_by text,                      -- who accepted that loss; null: none was known
    create_time timestamptz not null default now(),
    primary key (shard, epoch)
);

-- A change whose commit the ledger never applies, because its epoch is over: callers may have heard of it, and it no
-- longer holds. Two commits of one position differ in their hash.
create table orphan (
    shard          integer     not null,
    epoch          bigint      not null,
    seq            bigint      not null,
    index          integer     not null,
    hash           text        not null,      -- of the commit
    tenant         text        not null,
    sale_id        text        not null,
    reservation_id text        not null,      -- empty: a change of a sale
    buyer_id       text        not null,
    lines          jsonb       not null,      -- what the reservation had after it; of an ended one its claim
    state          text        not null,      -- a ReservationState without its prefix, or the kind of event
    why            text        not null,      -- for operators
    create_time    timestamptz not null default now(),
    primary key (shard, epoch, seq, index, hash)
);
create index orphan_by_reservation on orphan (tenant, sale_id, reservation_id);

-- Every applied commit, as it was received.
create table journal (
    shard   integer not null,
    epoch   bigint  not null,
    seq     bigint  not null,
    hash    text    not null,
    payload bytea   not null,
    primary key (shard, epoch, seq)
);

create table sale (
    tenant              text        not null,
    sale_id             text        not null,
    title               text        not null,
    start_time          timestamptz not null,
    end_time            timestamptz,
    hold_ttl_ms         bigint      not null,
    max_hold_ttl_ms     bigint      not null,
    buyer_limit         bigint      not null,                  -- 0: none
    create_time         timestamptz not null,
    shard               integer     not null,
    attempts_per_minute integer     not null,                  -- of one buyer; 0: no limit
    return_window_ms    bigint      not null,                  -- how long it stays in Redis; 0: as long as reservations
    paused              boolean     not null default false,
    close_time          timestamptz,                           -- null: not closed
    release_time        timestamptz,                           -- of its holds, by the close; null: not released
    release_reason      text,                                  -- of that close
    left_time           timestamptz,                           -- when it left Redis; null: not yet
    update_time         timestamptz not null,                  -- of the latest change of its settings
    etag_epoch          bigint      not null,                  -- with shard: where that change stands
    etag_seq            bigint      not null,
    etag_index          integer     not null,
    body                text        not null,                  -- fingerprint of its CreateSale; a repeat has the same
    primary key (tenant, sale_id)
);
create index sale_by_time on sale (tenant, create_time desc, sale_id collate "C" desc);
create index sale_by_shard on sale (shard);

-- A change of a sale's settings, by its position; the journal has the settings after it.
create table sale_change (
    shard       integer     not null,
    epoch       bigint      not null,
    seq         bigint      not null,
    index       integer     not null,
    tenant      text        not null,
    sale_id     text        not null,
    reason      text        not null,
    actor       text        not null,      -- empty: authentication was off
    create_time timestamptz not null,
    primary key (shard, epoch, seq, index)
);
create index sale_change_by_sale on sale_change (tenant, sale_id, create_time desc);

create table item (
    tenant      text   not null,
    sale_id     text   not null,
    sku         text   not null,
    total       bigint not null,
    available   bigint not null,
    held        bigint not null,
    sold        bigint not null,
    refused     bigint not null default 0, -- taken by orders that the ledger refused, until they are given back
    buyer_limit bigint not null,           -- units of this item that one buyer may hold and own; 0: no limit
    primary key (tenant, sale_id, sku),
    constraint item_balances_not_negative check (available >= 0 and held >= 0 and sold >= 0 and refused >= 0),
    constraint item_balances_add_up check (total = available + held + sold + refused)
);

-- A change of how many units of an item are on sale. Its id is kept for ever: a repeat must have the same request.
create table adjustment (
    tenant         text        not null,
    sale_id        text        not null,
    adjustment_id  text        not null,
    sku            text        not null,
    asked_delta    bigint,                 -- either this was asked for: units to add or, below 0, to take away
    asked_total    bigint,                 -- or this: units on sale afterwards
    expected_total bigint,                 -- null: any total would do
    reason         text        not null,
    reference      text        not null,
    actor          text        not null,   -- empty: authentication was off
    change         bigint      not null,   -- units that were added or, below 0, taken away
    total_after    bigint      not null,
    shard          integer     not null,
    epoch          bigint      not null,   -- with shard: where it stands
    seq            bigint      not null,
    index          integer     not null,
    create_time    timestamptz not null,
    primary key (tenant, sale_id, adjustment_id),
    constraint adjustment_asks_one check ((asked_delta is null) <> (asked_total is null))
);
create index adjustment_by_time on adjustment (tenant, sale_id, create_time desc, epoch desc, seq desc, index desc);

create table reservation (
    tenant              text        not null,
    sale_id             text        not null,
    reservation_id      text        not null,
    buyer_id            text        not null,
    state               text        not null,   -- a ReservationState without its prefix
    revision            integer     not null,
    create_time         timestamptz not null,
    update_time         timestamptz not null,
    expire_time         timestamptz,            -- null: never held
    shard               integer     not null,
    created_epoch       bigint      not null,   -- with shard: where it was made
    created_seq         bigint      not null,
    created_index       integer     not null,
    epoch               bigint      not null,   -- with shard: where the latest change stands
    seq                 bigint      not null,
    index               integer     not null,
    ledger_state        text        not null,   -- RECORDED or REFUSED
    compensation_reason text,                   -- a CompensationReason without its prefix
    note                text        not null,
    asked_hold_ms       bigint      not null,   -- the life of the hold as asked; 0: none was asked
    reference           text        not null,   -- the caller's; empty: none was given
    primary key (tenant, sale_id, reservation_id)
);
create index reservation_by_sale on reservation (tenant, sale_id, create_time desc);
create index reservation_by_buyer on reservation (tenant, buyer_id, create_time desc);
create index reservation_by_reference on reservation (tenant, reference, create_time desc) where reference <> '';
create index reservation_held on reservation (tenant, sale_id, expire_time) where state = 'HELD';

-- How a reservation stands with one SKU. One that is HELD holds `quantity`; one that is CONFIRMED owns what was confirmed
-- less what was returned; any other has nothing.
create table reservation_line (
    tenant             text   not null,
    sale_id            text   not null,
    reservation_id     text   not null,
    sku                text   not null,
    quantity           bigint not null,   -- claimed; 0 for a SKU that a change of the hold dropped
    confirmed_quantity bigint not null,   -- of these, sold
    returned_quantity  bigint not null,   -- of those, come back
    asked_quantity     bigint not null,   -- as the Reserve asked; 0 for a SKU that a change of the hold added
    primary key (tenant, sale_id, reservation_id, sku)
);

-- One transfer between the accounts of one item: external, available, held, sold, refused.
create table ledger_entry (
    shard          integer not null,
    epoch          bigint  not null,
    seq            bigint  not null,
    index          integer not null,
    line           integer not null,
    tenant         text    not null,
    sale_id        text    not null,
    sku            text    not null,
    reservation_id text,
    from_account   text    not null,
    to_account     text    not null,
    quantity       bigint  not null check (quantity > 0),
    primary key (shard, epoch, seq, index, line)
);
create index ledger_entry_by_item on ledger_entry (tenant, sale_id, sku);

-- An order that the ledger refused for good, by its creation position.
create table dead_letter (
    shard             integer     not null,
    created_epoch     bigint      not null,
    created_seq       bigint      not null,
    created_index     integer     not null,
    tenant            text        not null,
    sale_id           text        not null,
    reservation_id    text        not null,
    buyer_id          text        not null,
    lines             jsonb       not null,   -- [{"sku": .., "quantity": ..}]
    reason            text        not null,   -- a CompensationReason without its prefix
    detail            text        not null,
    epoch             bigint      not null,   -- with shard: where the refused change stands
    seq               bigint      not null,
    index             integer     not null,
    create_time       timestamptz not null default date_trunc('milliseconds', now()),
    state             text        not null,   -- a DeadLetterState without its prefix
    reservation_state text        not null,   -- the reservation's latest: HELD or CONFIRMED, then the state that ended it
    replayed_as       text,                   -- the new reservation's id; null unless REPLAYED; servers write it
    reservation_create_time timestamptz not null,
    reservation_expire_time timestamptz,      -- null: never held
    latest_revision   integer     not null,   -- the reservation's, after its latest change
    latest_time       timestamptz not null,
    latest_epoch      bigint      not null,   -- with shard: where the latest change stands
    latest_seq        bigint      not null,
    latest_index      integer     not null,
    outstanding       jsonb       not null,   -- what the order holds or owns after its latest change
    sold              jsonb       not null,   -- what it owned, if its compensation found it CONFIRMED; else empty
    primary key (shard, created_epoch, created_seq, created_index)
);
create index dead_letter_by_reservation on dead_letter (tenant, sale_id, reservation_id);
create index dead_letter_by_time on dead_letter
    (tenant, create_time desc, shard desc, created_epoch desc, created_seq desc, created_index desc);
create index dead_letter_by_sale on dead_letter
    (tenant, sale_id, create_time desc, shard desc, created_epoch desc, created_seq desc, created_index desc);
create unique index dead_letter_by_replay on dead_letter (tenant, sale_id, replayed_as) where replayed_as is not null;
create index dead_letter_open on dead_letter (shard, epoch, seq) where state = 'OPEN';

-- A request to give a refused order's units back; sent again until its dead letter is settled.
create table compensation (
    shard           integer     not null,
    created_epoch   bigint      not null,
    created_seq     bigint      not null,
    created_index   integer     not null,
    compensation_id text        not null unique,
    sent_count      integer     not null default 0,
    next_send_time  timestamptz not null,
    done            boolean     not null default false,
    primary key (shard, created_epoch, created_seq, created_index),
    foreign key (shard, created_epoch, created_seq, created_index) references dead_letter
);
create index compensation_open on compensation (shard, next_send_time) where not done;

create table blocked_buyer (
    tenant      text        not null,
    buyer_id    text        not null,
    reason      text        not null,
    create_time timestamptz not null default date_trunc('milliseconds', now()),
    actor       text        not null default '',   -- empty: authentication was off
    primary key (tenant, buyer_id)
);
create index blocked_buyer_by_time on blocked_buyer (tenant, create_time desc, buyer_id collate "C" desc);

-- The version of blocked_buyer, by which shards learn that their copies are old. One row, or none: no change.
create table blocked_version (
    is_only  boolean primary key default true check (is_only),
    version  bigint not null,   -- the time of the latest change in ms since 1970, or more: it always rises
    previous bigint not null    -- before that change
);

-- Tokens that are valid no longer: one by its `jti`, or all that a subject got before a moment.
create table revoked_token (
    tenant        text        not null,
    kind          text        not null,   -- JTI or SUBJECT
    name          text        not null,   -- the `jti` or the `sub`
    issued_before timestamptz,            -- of a subject's tokens; null for a `jti`
    reason        text        not null,
    actor         text        not null,   -- empty: authentication was off
    create_time   timestamptz not null default now(),
    expire_time   timestamptz not null,   -- when no token that it names can be valid any more
    primary key (tenant, kind, name)
);

-- Records and commits that could not be applied, with their bytes, for an operator to examine.
create table quarantined_record (
    quarantined_record_id bigint generated always as identity primary key,
    shard         integer     not null,
    record_offset bigint      not null,
    epoch         bigint,                  -- with seq: of the commit; null for a whole record
    seq           bigint,
    why           text        not null,
    payload       bytea       not null,
    digest        bytea       not null generated always as (sha256(payload)) stored,  -- bytes that come again are kept once
    create_time   timestamptz not null default now(),
    unique (shard, digest)
);
