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
    facts_seq     bigint  not null
);

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
    tenant          text        not null,
    sale_id         text        not null,
    title           text        not null,
    start_time      timestamptz not null,
    end_time        timestamptz,
    hold_ttl_ms     bigint      not null,
    max_hold_ttl_ms bigint      not null,
    buyer_limit     bigint      not null,
    create_time     timestamptz not null,
    shard           integer     not null,
    primary key (tenant, sale_id)
);

create table item (
    tenant    text   not null,
    sale_id   text   not null,
    sku       text   not null,
    total     bigint not null,
    available bigint not null,
    held      bigint not null,
    sold      bigint not null,
    refused   bigint not null default 0,   -- taken by orders that the ledger refused, until they are given back
    primary key (tenant, sale_id, sku),
    constraint item_balances_not_negative check (available >= 0 and held >= 0 and sold >= 0 and refused >= 0),
    constraint item_balances_add_up check (total = available + held + sold + refused)
);

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
    primary key (tenant, sale_id, reservation_id)
);
create index reservation_by_buyer on reservation (tenant, buyer_id, create_time desc);
create index reservation_held on reservation (tenant, sale_id, expire_time) where state = 'HELD';

create table reservation_line (
    tenant             text   not null,
    sale_id            text   not null,
    reservation_id     text   not null,
    sku                text   not null,
    quantity           bigint not null,
    confirmed_quantity bigint not null,
    returned_quantity  bigint not null,
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
    create_time       timestamptz not null default now(),
    state             text        not null,   -- a DeadLetterState without its prefix
    reservation_state text        not null,   -- the reservation's latest: HELD or CONFIRMED, then the state that ended it
    replayed_as       text,
    reservation_create_time timestamptz not null,
    reservation_expire_time timestamptz,      -- null: never held
    latest_revision   integer     not null,   -- the reservation's, after its latest change
    latest_time       timestamptz not null,
    latest_epoch      bigint      not null,   -- with shard: where the latest change stands
    latest_seq        bigint      not null,
    latest_index      integer     not null,
    primary key (shard, created_epoch, created_seq, created_index)
);
create index dead_letter_by_reservation on dead_letter (tenant, sale_id, reservation_id);
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
    create_time timestamptz not null default now(),
    primary key (tenant, buyer_id)
);

-- Records and commits that could not be applied, with their bytes, for an operator to examine.
create table quarantined_record (
    quarantined_record_id bigint generated always as identity primary key,
    shard         integer     not null,
    record_offset bigint      not null,
    why           text        not null,
    payload       bytea       not null,
    digest        bytea       not null generated always as (sha256(payload)) stored,  -- bytes that come again are kept once
    create_time   timestamptz not null default now(),
    unique (shard, digest)
);
