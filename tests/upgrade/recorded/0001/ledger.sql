create table migration (number integer primary key, name text not null, run_time timestamptz not null default now());
-- The ledger's first shape: every commit applied once, in order, and what it came to.

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

-- Every commit as it came.
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

-- An order that the ledger refused for good, keyed by where it was created.
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
    reservation_state text        not null,   -- what the claim has come to since: HELD, CONFIRMED, then what ended it
    replayed_as       text,
    primary key (shard, created_epoch, created_seq, created_index)
);
create index dead_letter_by_reservation on dead_letter (tenant, sale_id, reservation_id);
create index dead_letter_open on dead_letter (shard, epoch, seq) where state = 'OPEN';

-- The order to give a refused order's units back; sent again until its dead letter is settled.
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

-- Records and commits that could not be taken, with their bytes, for a person to look at.
create table set_aside (
    set_aside_id bigint generated always as identity primary key,
    shard        integer     not null,
    record_offset bigint     not null,
    why          text        not null,
    payload      bytea       not null,
    digest       bytea       not null generated always as (sha256(payload)) stored,  -- bytes that come again are kept once
    create_time  timestamptz not null default now(),
    unique (shard, digest)
);

insert into migration (number, name, run_time) values ('1', '0001_ledger.sql', '2026-11-21 14:52:03.043155+00');
insert into shard_watermark (shard, shards, epoch, seq, hash, settled_epoch, settled_seq, frozen_reason, facts_epoch, facts_seq) values ('0', '2', '2', '2', 'dd5e96b925c6d14da74345661b1bdb875c76cb53', '2', '2', NULL, '2', '2');
insert into shard_watermark (shard, shards, epoch, seq, hash, settled_epoch, settled_seq, frozen_reason, facts_epoch, facts_seq) values ('1', '2', '2', '7', '47e498efb8f267dbad3434d02c3c6eedd8ff2b21', '2', '4', NULL, '2', '7');
insert into journal (shard, epoch, seq, hash, payload) values ('0', '1', '1', '078cdc5e1a06689a7af54882a33382f2c660a335', E'\\x0941de97fea1010000123712350a0764656661756c7412210a066368616972732a040880a30532040880a305380352090a05636861697210061941de97fea1010000');
insert into journal (shard, epoch, seq, hash, payload) values ('0', '2', '1', '1b40dc91139429def07ed37d7205f6bc71fc6d37', E'\\x09e10f98fea101000012600a5e0a2a0a0764656661756c7412066368616972731a06626f7567687422046361726c2a090a056368616972100310001801250100000029e10f98fea101000031e16bbe03a20100003902000000000000004101000000000000004d00000000');
insert into journal (shard, epoch, seq, hash, payload) values ('0', '2', '2', 'dd5e96b925c6d14da74345661b1bdb875c76cb53', E'\\x09e30f98fea101000012600a5e0a2a0a0764656661756c7412066368616972731a06626f7567687422046361726c2a090a056368616972100310011802250200000029e10f98fea101000031e16bbe03a20100003902000000000000004101000000000000004d00000000');
insert into journal (shard, epoch, seq, hash, payload) values ('1', '1', '1', 'eb1fd11ebacf45cc949bad5d89137fbd31bcc286', E'\\x0931de97fea1010000123312310a0764656661756c74121d0a056c616d70732a040880a30532040880a30552080a046c616d7010141931de97fea1010000');
insert into journal (shard, epoch, seq, hash, payload) values ('1', '1', '10', '928b2cc2d98fc47c092592d67061d8f85f034195', E'\\x0954eb97fea101000012760a740a260a0764656661756c7412056c616d70731a0574776963652203626f622a080a046c616d70100310011805250200000029d8e697fea101000031d842be03a20100003901000000000000004108000000000000004d000000005216746865206964207761732075736564206265666f72655802');
insert into journal (shard, epoch, seq, hash, payload) values ('1', '1', '11', '602fba97c56a94e2f151ee92096ba846c97354f1', E'\\x0957eb97fea101000012aa010aa7010a270a0764656661756c7412056c616d70731a06706f69736f6e2203616e6e2a080a046c616d70100110011805250200000029e2e697fea101000031e242be03a20100003901000000000000004109000000000000004d0000000052486e657720726f7720666f722072656c6174696f6e20227265736572766174696f6e222076696f6c6174657320636865636b20636f6e73747261696e7420226f665f615f74657374225803');
insert into journal (shard, epoch, seq, hash, payload) values ('1', '1', '2', 'f8f2e2aafb8e0515a77b4e36d9edcdfa6ff37516', E'\\x094cde97fea1010000125d0a5b0a270a0764656661756c7412056c616d70731a06626f756768742203616e6e2a080a046c616d701002100018012501000000294cde97fea1010000314c3abe03a20100003901000000000000004102000000000000004d00000000');
insert into journal (shard, epoch, seq, hash, payload) values ('1', '1', '3', '16baeb7f8c167b6ecb5093933eb24d09372505b9', E'\\x0953de97fea1010000125d0a5b0a270a0764656661756c7412056c616d70731a06626f756768742203616e6e2a080a046c616d701002100118022502000000294cde97fea1010000314c3abe03a20100003901000000000000004102000000000000004d00000000');
insert into journal (shard, epoch, seq, hash, payload) values ('1', '1', '4', 'ab5b2911397d23dc794031269be71b924781a3f5', E'\\x095fde97fea1010000125b0a590a250a0764656661756c7412056c616d70731a046c6566742203616e6e2a080a046c616d701001100018012501000000295fde97fea1010000315f3abe03a20100003901000000000000004104000000000000004d00000000');
insert into journal (shard, epoch, seq, hash, payload) values ('1', '1', '5', '9ee874ba3652c0cbf80aba1a352e443edd90f3b3', E'\\x0963de97fea1010000125b0a590a250a0764656661756c7412056c616d70731a046c6566742203616e6e2a080a046c616d701001100118032502000000295fde97fea1010000315f3abe03a20100003901000000000000004104000000000000004d00000000');
insert into journal (shard, epoch, seq, hash, payload) values ('1', '1', '6', 'a095b13e24ec52b52e80ede88bdccd1f9d51b3e3', E'\\x09bcde97fea1010000125c0a5a0a260a0764656661756c7412056c616d70731a0574776963652203616e6e2a080a046c616d70100110001801250100000029bcde97fea101000031bc3abe03a20100003901000000000000004106000000000000004d00000000');
insert into journal (shard, epoch, seq, hash, payload) values ('1', '1', '7', '74730149d46c2c54eadd51809383ca9ab8c4ec6e', E'\\x09c0de97fea1010000125c0a5a0a260a0764656661756c7412056c616d70731a0574776963652203616e6e2a080a046c616d70100110011802250200000029bcde97fea101000031bc3abe03a20100003901000000000000004106000000000000004d00000000');
insert into journal (shard, epoch, seq, hash, payload) values ('1', '1', '8', '34670ce5b33e8f721d74551ccc1641c8ade87db3', E'\\x09d8e697fea1010000125c0a5a0a260a0764656661756c7412056c616d70731a0574776963652203626f622a080a046c616d70100310001801250100000029d8e697fea101000031d842be03a20100003901000000000000004108000000000000004d00000000');
insert into journal (shard, epoch, seq, hash, payload) values ('1', '1', '9', 'd47b37714bbe7555da0a29146a7dd7a1dcfaac70', E'\\x09e2e697fea1010000125d0a5b0a270a0764656661756c7412056c616d70731a06706f69736f6e2203616e6e2a080a046c616d70100110001801250100000029e2e697fea101000031e242be03a20100003901000000000000004109000000000000004d00000000');
insert into journal (shard, epoch, seq, hash, payload) values ('1', '2', '1', 'dda316df4929460f911538854f62b6d892faa42b', E'\\x09f30298fea101000012620a600a2c0a0764656661756c7412056c616d70731a077265667573656422076d616c6c6f72792a080a046c616d70100110001801250100000029f30298fea101000031f35ebe03a20100003902000000000000004101000000000000004d00000000');
insert into journal (shard, epoch, seq, hash, payload) values ('1', '2', '2', 'f369c060a124f95e412bdcf1cbfea3b96752445c', E'\\x09da0998fea10100001283010a80010a2c0a0764656661756c7412056c616d70731a077265667573656422076d616c6c6f72792a080a046c616d70100110011805250200000029f30298fea101000031f35ebe03a20100003902000000000000004101000000000000004d00000000521c74686520627579657220697320626c6f636b65643a206120746573745801');
insert into journal (shard, epoch, seq, hash, payload) values ('1', '2', '3', 'dd2a0bd5fa2a51498c4b6b492c4be377e2b11e2f', E'\\x09dd0f98fea1010000125b0a590a250a0764656661756c7412056c616d70731a0468656c642203616e6e2a080a046c616d70100210001801250100000029dd0f98fea101000031dd6bbe03a20100003902000000000000004103000000000000004d00000000');
insert into journal (shard, epoch, seq, hash, payload) values ('1', '2', '4', '6d3165ecd8e18d905c3753e4b536d6e7f769418e', E'\\x09df0f98fea1010000125e0a5c0a280a0764656661756c7412056c616d70731a076f7665726475652203616e6e2a080a046c616d70100110001801250100000029df0f98fea101000031c71398fea10100003902000000000000004104000000000000004d00000000');
insert into journal (shard, epoch, seq, hash, payload) values ('1', '2', '5', 'de184ab1abd0df80da100d6b5a4788c832846184', E'\\x09541698fea1010000125f0a5d0a290a0764656661756c7412056c616d70731a046f70656e22076d616c6c6f72792a080a046c616d70100210001801250100000029541698fea1010000315472be03a20100003902000000000000004105000000000000004d00000000');
insert into journal (shard, epoch, seq, hash, payload) values ('1', '2', '6', 'fe0925572320cadfd34fdbb81c761e1801d9444c', E'\\x09571698fea101000012660a640a300a0764656661756c7412056c616d70731a0b6f70656e2d626f7567687422076d616c6c6f72792a080a046c616d70100110001801250100000029571698fea1010000315772be03a20100003902000000000000004106000000000000004d00000000');
insert into journal (shard, epoch, seq, hash, payload) values ('1', '2', '7', '47e498efb8f267dbad3434d02c3c6eedd8ff2b21', E'\\x09a11a98fea101000012660a640a300a0764656661756c7412056c616d70731a0b6f70656e2d626f7567687422076d616c6c6f72792a080a046c616d70100110011802250200000029571698fea1010000315772be03a20100003902000000000000004106000000000000004d00000000');
insert into sale (tenant, sale_id, title, start_time, end_time, hold_ttl_ms, max_hold_ttl_ms, buyer_limit, create_time, shard) values ('default', 'chairs', '', '2026-11-21 14:52:08.129+00', NULL, '86400000', '86400000', '3', '2026-11-21 14:52:08.129+00', '0');
insert into sale (tenant, sale_id, title, start_time, end_time, hold_ttl_ms, max_hold_ttl_ms, buyer_limit, create_time, shard) values ('default', 'lamps', '', '2026-11-21 14:52:08.113+00', NULL, '86400000', '86400000', '0', '2026-11-21 14:52:08.113+00', '1');
insert into item (tenant, sale_id, sku, total, available, held, sold, refused) values ('default', 'chairs', 'chair', '6', '3', '0', '3', '0');
insert into item (tenant, sale_id, sku, total, available, held, sold, refused) values ('default', 'lamps', 'lamp', '20', '11', '3', '3', '3');
insert into reservation (tenant, sale_id, reservation_id, buyer_id, state, revision, create_time, update_time, expire_time, shard, created_epoch, created_seq, created_index, epoch, seq, index, ledger_state, compensation_reason, note) values ('default', 'chairs', 'bought', 'carl', 'CONFIRMED', '2', '2026-11-21 14:52:20.833+00', '2026-11-21 14:52:20.835+00', '2026-11-22 14:52:20.833+00', '0', '2', '1', '0', '2', '2', '0', 'RECORDED', NULL, '');
insert into reservation (tenant, sale_id, reservation_id, buyer_id, state, revision, create_time, update_time, expire_time, shard, created_epoch, created_seq, created_index, epoch, seq, index, ledger_state, compensation_reason, note) values ('default', 'lamps', 'bought', 'ann', 'CONFIRMED', '2', '2026-11-21 14:52:08.14+00', '2026-11-21 14:52:08.147+00', '2026-11-22 14:52:08.14+00', '1', '1', '2', '0', '1', '3', '0', 'RECORDED', NULL, '');
insert into reservation (tenant, sale_id, reservation_id, buyer_id, state, revision, create_time, update_time, expire_time, shard, created_epoch, created_seq, created_index, epoch, seq, index, ledger_state, compensation_reason, note) values ('default', 'lamps', 'held', 'ann', 'HELD', '1', '2026-11-21 14:52:20.829+00', '2026-11-21 14:52:20.829+00', '2026-11-22 14:52:20.829+00', '1', '2', '3', '0', '2', '3', '0', 'RECORDED', NULL, '');
insert into reservation (tenant, sale_id, reservation_id, buyer_id, state, revision, create_time, update_time, expire_time, shard, created_epoch, created_seq, created_index, epoch, seq, index, ledger_state, compensation_reason, note) values ('default', 'lamps', 'left', 'ann', 'RELEASED', '2', '2026-11-21 14:52:08.159+00', '2026-11-21 14:52:08.163+00', '2026-11-22 14:52:08.159+00', '1', '1', '4', '0', '1', '5', '0', 'RECORDED', NULL, '');
insert into reservation (tenant, sale_id, reservation_id, buyer_id, state, revision, create_time, update_time, expire_time, shard, created_epoch, created_seq, created_index, epoch, seq, index, ledger_state, compensation_reason, note) values ('default', 'lamps', 'overdue', 'ann', 'HELD', '1', '2026-11-21 14:52:20.831+00', '2026-11-21 14:52:20.831+00', '2026-11-21 14:52:21.831+00', '1', '2', '4', '0', '2', '4', '0', 'RECORDED', NULL, '');
insert into reservation (tenant, sale_id, reservation_id, buyer_id, state, revision, create_time, update_time, expire_time, shard, created_epoch, created_seq, created_index, epoch, seq, index, ledger_state, compensation_reason, note) values ('default', 'lamps', 'refused', 'mallory', 'COMPENSATED', '2', '2026-11-21 14:52:17.523+00', '2026-11-21 14:52:19.29+00', '2026-11-22 14:52:17.523+00', '1', '2', '1', '0', '2', '2', '0', 'REFUSED', 'BUYER_BLOCKED', 'the buyer is blocked: a test');
insert into reservation (tenant, sale_id, reservation_id, buyer_id, state, revision, create_time, update_time, expire_time, shard, created_epoch, created_seq, created_index, epoch, seq, index, ledger_state, compensation_reason, note) values ('default', 'lamps', 'twice', 'ann', 'CONFIRMED', '2', '2026-11-21 14:52:08.252+00', '2026-11-21 14:52:08.256+00', '2026-11-22 14:52:08.252+00', '1', '1', '6', '0', '1', '7', '0', 'RECORDED', NULL, '');
insert into reservation_line (tenant, sale_id, reservation_id, sku, quantity, confirmed_quantity, returned_quantity) values ('default', 'chairs', 'bought', 'chair', '3', '3', '0');
insert into reservation_line (tenant, sale_id, reservation_id, sku, quantity, confirmed_quantity, returned_quantity) values ('default', 'lamps', 'bought', 'lamp', '2', '2', '0');
insert into reservation_line (tenant, sale_id, reservation_id, sku, quantity, confirmed_quantity, returned_quantity) values ('default', 'lamps', 'held', 'lamp', '2', '0', '0');
insert into reservation_line (tenant, sale_id, reservation_id, sku, quantity, confirmed_quantity, returned_quantity) values ('default', 'lamps', 'left', 'lamp', '1', '0', '0');
insert into reservation_line (tenant, sale_id, reservation_id, sku, quantity, confirmed_quantity, returned_quantity) values ('default', 'lamps', 'overdue', 'lamp', '1', '0', '0');
insert into reservation_line (tenant, sale_id, reservation_id, sku, quantity, confirmed_quantity, returned_quantity) values ('default', 'lamps', 'refused', 'lamp', '1', '0', '0');
insert into reservation_line (tenant, sale_id, reservation_id, sku, quantity, confirmed_quantity, returned_quantity) values ('default', 'lamps', 'twice', 'lamp', '1', '1', '0');
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account, quantity) values ('0', '1', '1', '0', '0', 'default', 'chairs', 'chair', NULL, 'external', 'available', '6');
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account, quantity) values ('0', '2', '1', '0', '0', 'default', 'chairs', 'chair', 'bought', 'available', 'held', '3');
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account, quantity) values ('0', '2', '2', '0', '0', 'default', 'chairs', 'chair', 'bought', 'held', 'sold', '3');
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account, quantity) values ('1', '1', '1', '0', '0', 'default', 'lamps', 'lamp', NULL, 'external', 'available', '20');
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account, quantity) values ('1', '1', '10', '0', '0', 'default', 'lamps', 'lamp', 'twice', 'refused', 'available', '3');
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account, quantity) values ('1', '1', '11', '0', '0', 'default', 'lamps', 'lamp', 'poison', 'refused', 'available', '1');
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account, quantity) values ('1', '1', '2', '0', '0', 'default', 'lamps', 'lamp', 'bought', 'available', 'held', '2');
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account, quantity) values ('1', '1', '3', '0', '0', 'default', 'lamps', 'lamp', 'bought', 'held', 'sold', '2');
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account, quantity) values ('1', '1', '4', '0', '0', 'default', 'lamps', 'lamp', 'left', 'available', 'held', '1');
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account, quantity) values ('1', '1', '5', '0', '0', 'default', 'lamps', 'lamp', 'left', 'held', 'available', '1');
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account, quantity) values ('1', '1', '6', '0', '0', 'default', 'lamps', 'lamp', 'twice', 'available', 'held', '1');
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account, quantity) values ('1', '1', '7', '0', '0', 'default', 'lamps', 'lamp', 'twice', 'held', 'sold', '1');
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account, quantity) values ('1', '1', '8', '0', '0', 'default', 'lamps', 'lamp', 'twice', 'available', 'refused', '3');
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account, quantity) values ('1', '1', '9', '0', '0', 'default', 'lamps', 'lamp', 'poison', 'available', 'refused', '1');
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account, quantity) values ('1', '2', '1', '0', '0', 'default', 'lamps', 'lamp', 'refused', 'available', 'refused', '1');
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account, quantity) values ('1', '2', '2', '0', '0', 'default', 'lamps', 'lamp', 'refused', 'refused', 'available', '1');
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account, quantity) values ('1', '2', '3', '0', '0', 'default', 'lamps', 'lamp', 'held', 'available', 'held', '2');
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account, quantity) values ('1', '2', '4', '0', '0', 'default', 'lamps', 'lamp', 'overdue', 'available', 'held', '1');
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account, quantity) values ('1', '2', '5', '0', '0', 'default', 'lamps', 'lamp', 'open', 'available', 'refused', '2');
insert into ledger_entry (shard, epoch, seq, index, line, tenant, sale_id, sku, reservation_id, from_account, to_account, quantity) values ('1', '2', '6', '0', '0', 'default', 'lamps', 'lamp', 'open-bought', 'available', 'refused', '1');
insert into dead_letter (shard, created_epoch, created_seq, created_index, tenant, sale_id, reservation_id, buyer_id, lines, reason, detail, epoch, seq, index, create_time, state, reservation_state, replayed_as) values ('1', '1', '8', '0', 'default', 'lamps', 'twice', 'bob', '[{"sku": "lamp", "quantity": 3}]', 'ID_REUSED', 'the id was used before', '1', '8', '0', '2026-11-21 14:52:11.029977+00', 'SETTLED', 'COMPENSATED', NULL);
insert into dead_letter (shard, created_epoch, created_seq, created_index, tenant, sale_id, reservation_id, buyer_id, lines, reason, detail, epoch, seq, index, create_time, state, reservation_state, replayed_as) values ('1', '1', '9', '0', 'default', 'lamps', 'poison', 'ann', '[{"sku": "lamp", "quantity": 1}]', 'CONSTRAINT_VIOLATED', 'new row for relation "reservation" violates check constraint "of_a_test"', '1', '9', '0', '2026-11-21 14:52:11.029977+00', 'SETTLED', 'COMPENSATED', NULL);
insert into dead_letter (shard, created_epoch, created_seq, created_index, tenant, sale_id, reservation_id, buyer_id, lines, reason, detail, epoch, seq, index, create_time, state, reservation_state, replayed_as) values ('1', '2', '1', '0', 'default', 'lamps', 'refused', 'mallory', '[{"sku": "lamp", "quantity": 1}]', 'BUYER_BLOCKED', 'the buyer is blocked: a test', '2', '1', '0', '2026-11-21 14:52:19.067849+00', 'SETTLED', 'COMPENSATED', NULL);
insert into dead_letter (shard, created_epoch, created_seq, created_index, tenant, sale_id, reservation_id, buyer_id, lines, reason, detail, epoch, seq, index, create_time, state, reservation_state, replayed_as) values ('1', '2', '5', '0', 'default', 'lamps', 'open', 'mallory', '[{"sku": "lamp", "quantity": 2}]', 'BUYER_BLOCKED', 'the buyer is blocked: a test', '2', '5', '0', '2026-11-21 14:52:23.553625+00', 'OPEN', 'HELD', NULL);
insert into dead_letter (shard, created_epoch, created_seq, created_index, tenant, sale_id, reservation_id, buyer_id, lines, reason, detail, epoch, seq, index, create_time, state, reservation_state, replayed_as) values ('1', '2', '6', '0', 'default', 'lamps', 'open-bought', 'mallory', '[{"sku": "lamp", "quantity": 1}]', 'BUYER_BLOCKED', 'the buyer is blocked: a test', '2', '6', '0', '2026-11-21 14:52:23.553625+00', 'OPEN', 'CONFIRMED', NULL);
insert into compensation (shard, created_epoch, created_seq, created_index, compensation_id, sent_count, next_send_time, done) values ('1', '1', '8', '0', '1-1-8-0', '1', '2026-11-21 14:52:12.06442+00', 'true');
insert into compensation (shard, created_epoch, created_seq, created_index, compensation_id, sent_count, next_send_time, done) values ('1', '1', '9', '0', '1-1-9-0', '1', '2026-11-21 14:52:12.06442+00', 'true');
insert into compensation (shard, created_epoch, created_seq, created_index, compensation_id, sent_count, next_send_time, done) values ('1', '2', '1', '0', '1-2-1-0', '2', '2026-11-21 14:52:22.12849+00', 'true');
insert into compensation (shard, created_epoch, created_seq, created_index, compensation_id, sent_count, next_send_time, done) values ('1', '2', '5', '0', '1-2-5-0', '2', '2026-11-21 14:52:27.083462+00', 'false');
insert into compensation (shard, created_epoch, created_seq, created_index, compensation_id, sent_count, next_send_time, done) values ('1', '2', '6', '0', '1-2-6-0', '2', '2026-11-21 14:52:27.083462+00', 'false');
insert into blocked_buyer (tenant, buyer_id, reason, create_time) values ('default', 'mallory', 'a test', '2026-11-21 14:52:17.50303+00');
