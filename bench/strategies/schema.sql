-- The tables of every strategy but Holdfast: the stock of each item, and the orders.
create table if not exists item (
    sale_id text   not null,
    sku     text   not null,
    total   bigint not null,
    stock   bigint not null check (stock >= 0),
    primary key (sale_id, sku)
);
create table if not exists orders (
    sale_id        text        not null,
    reservation_id text        not null,
    buyer_id       text        not null,
    sku            text        not null,
    quantity       bigint      not null,
    created        timestamptz not null default now(),
    primary key (sale_id, reservation_id)
);
