#!lua flags=allow-oom
--[[ change_hold.lua: set what a hold holds; what rises is judged as a Reserve is, all or none, and what falls is granted.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)  4 blocked (hash)
       then of the sale  sale, reservations (hashes), expiry (zset), buyers, attempts of even and of odd minutes (hashes)
ARGV   1 observed  2 latest  3 commits that the outbox may hold; 0: no more units, for Redis is short of memory
       4 id  5 revision that must be found ('': any)  6 lines "sku=quantity ..", sorted by SKU
Reply  {now, epoch, seq, settled epoch, settled seq, result ..}, the first that applies; only MOVED and the holds taken back
       on the way write
       NO_SALE / NO_RECORD, epoch, seq / WRONG_STATE, record / REVISION_MISMATCH, record   as of move.lua
       REPLAYED, record   it holds these lines already, judged before the revision
       CALL_AGAIN, NO_ITEM, LEDGER_BEHIND and why there are no units   as of reserve.lua, for what rises
       MOVED, record      it holds these lines now
Keeps  available + held + sold = total for every item, and none of them is ever below zero; a hold that is not changed is
       as it was.
Uses   clock shard record sale settings event move checks attempts commit ]]

local FIRST_SALE = 5 -- where the keys of the sale begin in KEYS

local shard, not_serving = open_shard()
if not_serving then return not_serving end
local is_full = shard.seq - shard.trim_seq >= tonumber(ARGV[3])
local id, revision, after = ARGV[4], tonumber(ARGV[5]), parse_lines(ARGV[6])

-- What the change asks for beyond what is held, as the one request of its call.
local function rises(record)
  local before, held, more = {}, 0, {}
  for _, line in ipairs(units_of(record)) do before[line.sku], held = line.quantity, held + line.quantity end
  for _, line in ipairs(after) do
    local rise = line.quantity - (before[line.sku] or 0)
    if rise > 0 then more[#more + 1] = {sku = line.sku, quantity = rise} end
  end
  more.units = after.units - held
  return {buyers = {terms_of(record).buyer}, lines = {more}, own = record}
end

local function judge_names(sale, requests)
  for _, line in ipairs(requests.lines[1]) do
    if not sale.items[line.sku] then return {'NO_ITEM', line.sku} end
  end
end

-- The checks in their order, for what rises. `judge_rises` in change_hold.py has the same.
local function judge(sale, requests)
  if #requests.lines[1] == 0 then return nil end
  return judge_names(sale, requests)
    or judge_backpressure(is_full)
    or judge_window(shard, sale)
    or judge_block(shard, sale, requests, 1)
    or judge_attempts(shard, sale, requests, 1)
    or judge_stock(shard, sale, requests, 1)
    or judge_item_limits(shard, sale, requests, 1)
    or judge_limit(shard, sale, requests, 1)
end

local function open_asked_sale()
  local sale, skus = open_sale(shard, 1, FIRST_SALE), {}
  sale.asked = {1}
  for at, line in ipairs(after) do skus[at] = line.sku end
  load_settings(sale, skus)
  load_records(sale, {id})
  load_moved(sale, {id})
  return sale
end

local function judge_change(sale)
  if not sale.settings then return {'NO_SALE'} end
  local record = record_of(sale, id)
  if not record or is_unknown(record) then return {'NO_RECORD', shard.epoch, shard.seq} end
  if effective(shard, sale, record) ~= HELD then return record_reply(shard, sale, 'WRONG_STATE', record) end
  if are_equal(after, units_of(record)) then return record_reply(shard, sale, 'REPLAYED', record) end
  if revision and revision ~= record[REVISION] then return record_reply(shard, sale, 'REVISION_MISMATCH', record) end
  local requests = rises(record)
  local refused = judge(sale, requests)
  if sale.attempts then count_attempt(shard, sale, requests.buyers[1], refused or {'HELD'}) end
  if refused then return refused end
  move(shard, sale, id, record, HELD, after)
  return record_reply(shard, sale, 'MOVED', record)
end

local result = judge_change(open_asked_sale())
commit(shard)
write_attempts(shard)
return reply_of(shard, result)
